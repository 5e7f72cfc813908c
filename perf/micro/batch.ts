/** `node dist/perf/micro/batch.js`: record batches: what the broker does with each, and what a client does with records. */
import { readBatchHeader, stampBatch, validateBatch } from '../../client/protocol/batch.ts'
import { BatchBuilder, decodeRecords, RecordReader } from '../../client/protocol/record.ts'
import type { LeaderEpoch, Offset } from '../../client/protocol/types.ts'
import { makeBatch, recordsPerBatch } from '../frames.ts'
import { makeValues } from '../workload/payload.ts'
import { bench } from './harness.ts'

const RECORD_BYTES = 1 << 10
const TIMESTAMP = 1_700_000_000_000

for (const bytes of [16 << 10, 64 << 10, 1 << 20]) {
  const batch = makeBatch(bytes, RECORD_BYTES)
  const title = `${bytes >> 10} KiB`
  bench(`validate a batch of ${title}`, () => void validateBatch(batch, 0, batch.length, 'producer'), {
    bytes,
  })
}

const batch = makeBatch(64 << 10, RECORD_BYTES)
bench('read a batch header', () => void readBatchHeader(batch, 0), { items: 1 })
bench('stamp offset and epoch', () => stampBatch(batch, 0, 1234 as Offset, 5 as LeaderEpoch), { items: 1 })

for (const recordBytes of [100, RECORD_BYTES]) {
  const bytes = 64 << 10
  const records = recordsPerBatch(bytes, recordBytes)
  const packed = makeBatch(bytes, recordBytes)
  const values = makeValues(recordBytes, 0)
  const title = `${records} records of ${recordBytes} B`
  bench(
    `build ${title}`,
    () => {
      const builder = new BatchBuilder(bytes + 4096)
      for (let index = 0; index < records; index += 1) {
        builder.append(TIMESTAMP, null, values[index % values.length]!)
      }
      builder.seal({})
    },
    { bytes, items: records },
  )
  bench(`decode ${title}`, () => void decodeRecords(packed), { bytes, items: records })
  bench(
    `walk ${title}`,
    () => {
      const reader = new RecordReader(packed)
      while (reader.next() !== null);
    },
    { bytes, items: records },
  )
}
