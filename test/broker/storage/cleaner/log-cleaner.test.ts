/**
 * Compaction of one log's files: what others see of it, and what is left of it when it fails.
 */
import t from 'tap'
import { type CleaningOptions, type CleaningOutcome } from '../../../../broker/storage/cleaner/log-cleaner.ts'
import { CleaningGivenUp } from '../../../../broker/storage/cleaner/pace.ts'
import { type PartitionLog } from '../../../../broker/storage/partition-log.ts'
import { CorruptLogError, type StoredBatch } from '../../../../broker/storage/types.ts'
import { batchLastOffset, forEachBatch } from '../../../../client/protocol/batch.ts'
import { decodeRecords, encodeBatch } from '../../../../client/protocol/record.ts'
import { NO_LEADER_EPOCH } from '../../../../client/protocol/types.ts'
import { at, CONFIG, DIRECTORY, readAll, take, type World, world } from '../helpers.ts'
import { verifyIndexes } from '../verify-indexes.ts'

const config = { ...CONFIG, indexIntervalBytes: 100 }
const FIRST = `${DIRECTORY}/00000000000000000000.log`

/** One record, `key=value@offset`. */
function record(offset: number, key: string, valueBytes = 30): StoredBatch {
  const timestamp = 1000 + offset
  const bytes = encodeBatch([{ key, value: `${offset}`.padEnd(valueBytes, '.'), timestamp }], {
    baseOffset: at(offset),
  })
  const own = { baseOffset: at(offset), lastOffset: at(offset), maxTimestamp: timestamp }
  return { bytes, owner: null, leaderEpoch: NO_LEADER_EPOCH, ...own }
}

/**
 * Segments of ten records, each with the keys k0 to k9 but for those that `keyOf` calls otherwise; the last
 * is active.
 */
async function written(
  place: World,
  segments: number,
  keyOf = (offset: number): string => `k${offset % 10}`,
): Promise<PartitionLog> {
  const { log } = await place.open({ config })
  for (let offset = 0; offset < 10 * segments; offset++) {
    if (offset > 0 && offset % 10 === 0) log.roll(at(offset))
    log.append(record(offset, keyOf(offset)))
  }
  await log.writePending()
  await log.sync()
  return log
}

function clean(log: PartitionLog, options: Partial<CleaningOptions> = {}): Promise<CleaningOutcome> {
  const active = log.segments.at(-1)!.baseOffset
  return log.clean({
    plan: { firstDirtyOffset: at(0), uncleanableOffset: active },
    keepsSequence: () => false,
    deleteRetentionMs: 1000,
    map: { maxBytes: 24 * 1000, loadFactor: 0.9, hashKey: new Uint8Array(16) },
    ioBytes: 300,
    wallMs: 0,
    dueHorizonMs: 0,
    pace: { isOver: () => false, rest: async () => {}, moved: async () => {}, disk: work => work() },
    isWanted: () => true,
    ...options,
  })
}

async function offsets(log: PartitionLog, from = 0): Promise<number[]> {
  const bytes = await readAll(log, at(from), 200)
  const found: number[] = []
  forEachBatch(bytes, position => {
    for (const { offset } of decodeRecords(bytes, position)) found.push(offset)
  })
  return found
}

async function names(place: World, pattern = /(?:)/): Promise<string[]> {
  return (await place.disk.list(DIRECTORY)).map(entry => entry.name).filter(name => pattern.test(name))
}

/** Lets what is under way go on until it is held. */
async function held(place: World): Promise<void> {
  for (let i = 0; i < 100; i++) await place.clock.settle()
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

t.test('segments become one, with true indexes, and the log goes on', async t => {
  const place = world()
  const log = await written(place, 5)
  const outcome = await clean(log)
  t.match(outcome, {
    cleanedTo: 40,
    segmentsBefore: 4,
    segmentsAfter: 1,
    records: 40,
    keptRecords: 10,
    keys: 10,
  })
  t.same(await offsets(log), range(30, 50))
  t.same(await names(place, /log/), ['00000000000000000000.log', '00000000000000000040.log'])
  t.equal(log.exchanges, 1)
  log.append(record(50, 'k0'))
  await log.writePending()
  await log.sync()
  t.same(await offsets(log), range(30, 51))
  await log.close(true)
  await verifyIndexes(place.disk, DIRECTORY)
  const { log: again, recovered } = await place.open({ config, cleanShutdown: true })
  t.notOk(recovered.scanned)
  t.same(await offsets(again), range(30, 51))
  t.same(place.log.lines, [])
})

t.test('after a power cut everything is there, also where all of it is scanned', async t => {
  const place = world()
  const log = await written(place, 4, offset => (offset < 15 ? `k${offset % 5}` : `x${offset}`))
  await clean(log)
  const before = await offsets(log)
  place.disk.crash({ keep: 'none' })
  const { log: again, recovered } = await world({ disk: place.disk }).open({ config, recoveryPoint: at(0) })
  t.same(recovered.damaged, [])
  t.same(await offsets(again), before)
  t.same(before, range(10, 40))
})

t.test('a segment that loses nothing is left alone', async t => {
  const place = world()
  const log = await written(place, 3, offset => (offset < 20 ? `x${offset}` : 'y'))
  await log.close(true)
  const { log: again } = await place.open({ config: { ...config, segmentBytes: 500 }, cleanShutdown: true })
  const outcome = await clean(again)
  t.match(outcome, { records: 20, keptRecords: 20, segmentsAfter: 2 })
  t.equal(again.exchanges, 0)
  t.same(await names(place, /cleaned|swap/), [])
})

t.test('a full map cleans a part, the next compaction goes on', async t => {
  const log = await written(world(), 5)
  const map = { maxBytes: 24 * 6, loadFactor: 1, hashKey: new Uint8Array(16) }
  const first = await clean(log, { map })
  t.equal(first.cleanedTo, 5)
  t.same(await offsets(log), range(0, 50), 'each key is there once so far')
  const plan = { firstDirtyOffset: at(5), uncleanableOffset: at(40) }
  const second = await clean(log, { map, plan })
  t.equal(second.cleanedTo, 10)
  const third = await clean(log, { map, plan: { ...plan, firstDirtyOffset: at(10) } })
  t.equal(third.cleanedTo, 15)
  t.same(await offsets(log), [...range(5, 50)])
})

t.test('who is about to open an old file is not shown the new one by its positions', async t => {
  // One open file at a time: so the reader has to open it again.
  const place = world({ shared: { maxOpenFiles: 1, tailCacheBytes: 0 } })
  const log = await written(place, 5, offset => (offset < 10 ? 'aaa' : `k${offset}`))
  const goOn = place.disk.hold('syncDirectory')
  const cleaning = clean(log)
  await held(place)
  t.same(await names(place, /cleaned$/), [
    '00000000000000000000.index.cleaned',
    '00000000000000000000.log.cleaned',
    '00000000000000000000.timeindex.cleaned',
  ])
  const opening = place.disk.hold('open', /00\.log$/)
  // Somebody else's file takes the only place.
  await take(log.read(at(45), 100, at(50), true))
  const reading = log.read(at(8), 200, at(50), true)
  const searching = log.findByTimestamp(1008, at(0), at(50))
  await held(place)
  goOn()
  await cleaning
  opening()
  t.equal(batchLastOffset(await take(reading), 0), 9, 'what was at offset 8 is gone, on with the next')
  const found = await searching
  t.equal(found?.firstOffset, 9)
  found?.release()
  t.same(await offsets(log, 8), range(9, 50))
})

t.test('who has an old file open finishes with it', async t => {
  const place = world({ shared: { tailCacheBytes: 0 } })
  const log = await written(place, 5)
  const slices = await log.read(at(0), 1000, at(50), true)
  const before = Buffer.concat(slices.slices)
  await clean(log)
  t.same(Buffer.concat(slices.slices), before, 'the bytes stay what they were until they are released')
  slices.release()
})

t.test('the newest batches in memory do not show what compaction has removed', async t => {
  const log = await written(world(), 3)
  t.same(await offsets(log), range(0, 30))
  await clean(log)
  t.same(await offsets(log), range(10, 30))
})

t.test('damage is reported and not copied', async t => {
  const place = world()
  const log = await written(place, 5)
  place.disk.damage(`${DIRECTORY}/00000000000000000020.log`, 100)
  const files = await names(place)
  await t.rejects(clean(log), { name: 'CorruptLogError', path: /20\.log$/ })
  t.same(await names(place), files)
  t.equal(log.exchanges, 0)
  t.equal(log.failure, null)
  t.ok(new CorruptLogError('a', 1, 'b') instanceof Error)
})

for (const [operation, path] of [
  ['write', /cleaned$/],
  ['sync', /cleaned$/],
  ['open', /index\.cleaned$/],
  ['rename', /log\.cleaned$/],
  ['rename', /timeindex\.cleaned$/],
] as const) {
  t.test(`when ${operation} fails on ${path.source} the log stays as it was`, async t => {
    const place = world()
    const log = await written(place, 5)
    const files = await names(place)
    place.disk.inject({ operation, path, code: 'DISK_FULL', times: 1 })
    await t.rejects(clean(log), { code: 'DISK_FULL' })
    t.same(await names(place), files)
    t.same(await offsets(log), range(0, 50))
    t.equal(log.failure, null)
    await clean(log)
    t.same(await offsets(log), range(30, 50))
  })
}

t.test(
  'when the disk fails in the middle of the exchange the log takes no more writes, a restart puts it right',
  async t => {
    for (const fault of [
      { operation: 'remove', path: /10\.log$/ },
      { operation: 'rename', path: /log\.swap$/ },
      { operation: 'rename', path: /index\.swap$/, after: 1 },
    ] as const) {
      const place = world()
      const log = await written(place, 5)
      place.disk.inject({ ...fault, code: 'IO_ERROR', times: 1 })
      await t.rejects(clean(log), { code: 'IO_ERROR' })
      t.not(log.failure, null)
      place.disk.crash({ keep: 'all' })
      const { log: again, recovered } = await world({ disk: place.disk }).open({
        config,
        recoveryPoint: at(0),
      })
      t.same(recovered.damaged, [])
      t.same(await offsets(again), range(30, 50))
      await again.close(true)
      await verifyIndexes(place.disk, DIRECTORY)
    }
  },
)

t.test('it gives up when nobody wants it any more, and leaves nothing behind', async t => {
  const place = world()
  const log = await written(place, 5)
  const files = await names(place)
  let looks = 0
  await t.rejects(clean(log, { isWanted: () => ++looks < 8 }), CleaningGivenUp)
  t.same(await names(place), files)
  t.same(await offsets(log), range(0, 50))
})

t.test('it gives up when its segments are deleted meanwhile', async t => {
  const place = world()
  const log = await written(place, 5)
  const goOn = place.disk.hold('sync', /log\.cleaned$/)
  const cleaning = clean(log)
  await held(place)
  t.equal(await log.deleteSegmentsBefore(at(20)), 2)
  goOn()
  await t.rejects(cleaning, CleaningGivenUp)
  t.same(await names(place, /cleaned|swap/), [])
  t.same(await offsets(log, 20), range(20, 50))
  t.equal(await place.disk.size(FIRST), null)
})

t.test(
  'lost records are told from compacted ones, in our own logs and in those that Kafka has compacted',
  async t => {
    const place = world()
    const log = await written(place, 4)
    await log.close(false)
    // The end of the second segment is gone: a power cut did it, or a compaction of Kafka's.
    const file = await place.disk.open(`${DIRECTORY}/00000000000000000010.log`, 'write')
    await file.truncate(record(10, 'k0').bytes.length)
    await file.sync()
    place.disk.crash({ keep: 'none' })
    const compacted = world({ disk: place.disk })
    const opened = await compacted.open({ config, cleanedTo: at(20) })
    t.same(opened.recovered.damaged, [])
    t.same(await offsets(opened.log), [...range(0, 11), ...range(20, 40)])
    t.same(compacted.log.of('error'), [])
    await opened.log.close(false)
    place.disk.crash({ keep: 'none' })
    const lost = await world({ disk: place.disk }).open({ config })
    t.match(lost.recovered.damaged, [{ firstOffset: 11 }])
  },
)
