import fc from 'fast-check'
import t from 'tap'
import { DiskError } from '../../../broker/env.ts'
import { MemoryDisk } from '../../../broker/env-memory/disk.ts'
import { dumpFile } from '../../../broker/storage/dump.ts'
import { type PartitionLog } from '../../../broker/storage/partition-log.ts'
import { CorruptLogError } from '../../../broker/storage/types.ts'
import { at, batch, CONFIG, DIRECTORY, readAll, world } from './helpers.ts'

// Whatever lies in a partition's files: opening, reading and appending work, or say what is wrong. No assertion, no hang.

interface Harm {
  /** Which file, and where in it, as shares. */
  readonly file: number
  readonly where: number
  readonly bytes: Uint8Array
  readonly how: 'overwrite' | 'cut' | 'extend' | 'remove'
}

const harm: fc.Arbitrary<Harm> = fc.record({
  file: fc.double({ min: 0, max: 0.999, noNaN: true }),
  where: fc.double({ min: 0, max: 1, noNaN: true }),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 20 }),
  how: fc.constantFrom('overwrite', 'overwrite', 'overwrite', 'cut', 'extend', 'remove'),
})

async function prepare(): Promise<MemoryDisk> {
  const place = world({ disk: new MemoryDisk() })
  const { log } = await place.open({ config: { ...CONFIG, indexIntervalBytes: 100 } })
  for (let i = 0; i < 12; i++) {
    if (i % 5 === 4) log.roll(at(i))
    log.append(batch(i, 1, i * 20))
  }
  await log.writePending()
  await log.sync()
  await log.writeSnapshot({ offset: at(6), entries: [] })
  await log.appendAborted({
    producerId: 1n as never,
    firstOffset: at(9),
    lastOffset: at(11),
    lastStableOffset: at(9),
  })
  await log.close(true)
  return place.disk
}

async function inflict(disk: MemoryDisk, { file, where, bytes, how }: Harm): Promise<void> {
  const names = (await disk.list(DIRECTORY)).map(entry => entry.name)
  const path = `${DIRECTORY}/${names[Math.floor(file * names.length)]}`
  if (how === 'remove') {
    await disk.remove(path)
    return
  }
  const handle = await disk.open(path, 'write')
  const size = await handle.size()
  const position = Math.floor(where * size)
  if (how === 'cut') await handle.truncate(position)
  else await handle.write([bytes], how === 'extend' ? size : position)
}

function isSaid(error: unknown): boolean {
  return error instanceof CorruptLogError || error instanceof DiskError
}

async function use(log: PartitionLog): Promise<void> {
  await readAll(log, log.firstOffset)
  await log.findByTimestamp(1005, log.firstOffset, log.endOffset).then(found => found?.release())
  await log.findMaxTimestamp(log.firstOffset, log.endOffset).then(found => found?.release())
  await log.abortedTransactions(log.firstOffset, log.endOffset)
  log.append(batch(log.endOffset, 2, 300))
  log.roll(log.endOffset)
  log.append(batch(log.endOffset, 2, 300))
  await log.writePending()
  await log.sync()
  await log.truncateTo(at(log.endOffset - 1))
}

t.test('damaged files are dealt with or named', async t => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(harm, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      async (harms, cleanShutdown) => {
        const disk = await prepare()
        for (const each of harms) await inflict(disk, each)
        for (const { name } of await disk.list(DIRECTORY)) {
          for await (const item of dumpFile(disk, `${DIRECTORY}/${name}`)) void item
        }
        const place = world({ disk, shared: { tailCacheBytes: 0 } })
        try {
          const { log } = await place.open({ cleanShutdown, config: { ...CONFIG, indexIntervalBytes: 100 } })
          await use(log)
          await log.close(true)
        } catch (error) {
          if (!isSaid(error)) throw error
        }
      },
    ),
    { numRuns: Number(process.env['RUNS'] ?? 400) },
  )
  t.pass('nothing else happened')
})
