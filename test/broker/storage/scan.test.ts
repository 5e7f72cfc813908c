import t from 'tap'
import { scanBatches } from '../../../broker/storage/scan.ts'
import {
  BATCH_BASE_TIMESTAMP_AT,
  BATCH_LAST_OFFSET_DELTA_AT,
  BATCH_MAX_TIMESTAMP_AT,
  BATCH_RECORD_COUNT_AT,
} from '../../../client/protocol/batch.ts'
import { at, batch, DIRECTORY, world } from './helpers.ts'

const PATH = `${DIRECTORY}/00000000000000000000.log`

t.test('a header that cannot be is found without looking at the CRC', async t => {
  const first = Buffer.from(batch(0).bytes)
  const absurd = (change: (bytes: Buffer) => void): Buffer => {
    const bytes = Buffer.from(batch(1).bytes)
    change(bytes)
    return bytes
  }
  const cases: Record<string, [string, Buffer]> = {
    'a timestamp beyond 2^53': [
      'BAD_TIMESTAMPS',
      absurd(bytes => bytes.writeBigInt64BE(2n ** 60n, BATCH_MAX_TIMESTAMP_AT)),
    ],
    'a base timestamp below -2^53': [
      'BAD_TIMESTAMPS',
      absurd(bytes => bytes.writeBigInt64BE(-(2n ** 60n), BATCH_BASE_TIMESTAMP_AT)),
    ],
    'an offset beyond 2^53': ['OUT_OF_ORDER', absurd(bytes => bytes.writeBigInt64BE(2n ** 60n, 0))],
    'an end before its begin': [
      'OUT_OF_ORDER',
      absurd(bytes => bytes.writeInt32BE(-5, BATCH_LAST_OFFSET_DELTA_AT)),
    ],
    'more records than bytes': [
      'BAD_COUNT',
      absurd(bytes => bytes.writeInt32BE(1_000_000, BATCH_RECORD_COUNT_AT)),
    ],
  }
  for (const [name, [problem, bytes]] of Object.entries(cases)) {
    const { disk } = world()
    await disk.makeDirectory(DIRECTORY)
    const file = await disk.open(PATH, 'create')
    await file.write([first, bytes], 0)
    const seen: number[] = []
    const end = await scanBatches({
      file,
      start: 0,
      end: first.length + bytes.length,
      minOffset: at(0),
      visit: (_bytes, _at, position) => void seen.push(position),
    })
    t.same(end, { position: first.length, nextOffset: 1, problem }, name)
    t.same(seen, [0], 'nobody is shown it')
  }
})
