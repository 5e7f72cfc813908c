import t from 'tap'
import { type MemoryDisk } from '../../../broker/env-memory/disk.ts'
import { type ProducerSnapshot } from '../../../broker/storage/producer-snapshot.ts'
import { type BatchHeader } from '../../../client/protocol/batch.ts'
import { at, batch, CONFIG, DIRECTORY, readAll, type World, world } from './helpers.ts'
import { verifyIndexes } from './verify-indexes.ts'

const SMALL_INDEX = { ...CONFIG, indexIntervalBytes: 100 }

/** Ten batches of two records in two segments, stopped cleanly or not. */
async function written(place: World, clean: boolean): Promise<void> {
  const { log } = await place.open({ config: SMALL_INDEX })
  for (let i = 0; i < 10; i++) {
    if (i === 6) log.roll(at(12))
    log.append(batch(i * 2, 2, 40))
  }
  await log.writePending()
  await log.sync()
  await log.close(clean)
}

async function write(disk: MemoryDisk, name: string, content: Uint8Array, position?: number): Promise<void> {
  const file = await disk.open(`${DIRECTORY}/${name}`, 'create')
  await file.write([content], position ?? (await file.size()))
  await file.sync()
  await file.close()
}

async function names(disk: MemoryDisk): Promise<string[]> {
  return (await disk.list(DIRECTORY)).map(entry => entry.name)
}

const FIRST = '00000000000000000000'
const SECOND = '00000000000000000012'
const all = Buffer.concat(Array.from({ length: 10 }, (_, i) => batch(i * 2, 2, 40).bytes))

t.test('after a clean stop no batch is scanned', async t => {
  const place = world()
  await written(place, true)
  const { log, recovered } = await place.open({ cleanShutdown: true, config: SMALL_INDEX })
  t.match(recovered, { scanned: false, scannedBytes: 0, truncatedBytes: 0 })
  t.equal(log.endOffset, 20)
  t.equal(log.durableOffset, 20)
  t.equal(log.activeSegment.largestTimestamp, 1018)
  t.equal(log.activeSegment.firstTimestamp, 1012)
  t.equal(log.segments[0]?.largestTimestamp, 1010)
  t.same(await readAll(log, at(0)), all)
  t.same(place.log.lines, [])
})

t.test('after an unclean stop only what lies past the recovery point is scanned', async t => {
  const place = world()
  await written(place, false)
  const { log, recovered } = await place.open({ recoveryPoint: at(14), config: SMALL_INDEX })
  t.ok(recovered.scanned)
  t.equal(recovered.scannedBytes, log.activeSegment.sizeBytes)
  t.same(await readAll(log, at(0)), all)
  t.same(place.log.lines, [])
})

t.test('a torn tail is cut, with a warning', async t => {
  const place = world()
  await written(place, false)
  const torn = batch(20, 2, 40).bytes.subarray(0, 90)
  await write(place.disk, `${SECOND}.log`, torn)
  const { log, recovered } = await place.open({ config: SMALL_INDEX })
  t.equal(log.endOffset, 20)
  t.equal(recovered.truncatedBytes, 90)
  t.same(recovered.damaged, [])
  t.match(place.log.lines, [{ level: 'warn', fields: { endOffset: 20, bytes: 90 } }])
  t.same(await readAll(log, at(0)), all)
})

t.test('a tail of zeros is room that was preallocated, not damage', async t => {
  const place = world()
  await written(place, false)
  await write(place.disk, `${SECOND}.log`, Buffer.alloc(5000))
  const { log, recovered } = await place.open({ config: SMALL_INDEX })
  t.equal(log.endOffset, 20)
  t.equal(recovered.truncatedBytes, 0)
  t.same(place.log.lines, [])
})

t.test('a damaged middle: the rest is kept aside and the loss is reported with its offsets', async t => {
  const place = world()
  await written(place, false)
  const position = 2 * batch(0, 2, 40).bytes.length
  place.disk.damage(`${DIRECTORY}/${FIRST}.log`, position + 70)
  const before = await place.disk.readFile(`${DIRECTORY}/${FIRST}.log`)
  const { log, recovered } = await place.open({ config: SMALL_INDEX })
  t.equal(log.endOffset, 4)
  t.match(recovered.damaged, [{ position, firstOffset: 4, lastOffset: 12 }])
  t.match(place.log.of('error'), [{ fields: { position, firstOffset: 4, reason: 'BAD_CHECKSUM' } }])
  t.same(await place.disk.readFile(recovered.damaged[0]!.copy), before.subarray(position))
  t.same(
    (await names(place.disk)).filter(name => name.includes('.log')),
    [`${FIRST}.log`, `${FIRST}.log.damaged-${position}`, `${SECOND}.log.damaged-0`],
  )
  await verifyIndexes(place.disk, DIRECTORY)
  log.append(batch(4, 1))
  await log.writePending()
  t.equal(await log.sync(), 5, 'the log goes on')
})

t.test('where no copy can be kept the partition does not open, and nothing is lost', async t => {
  const place = world()
  await written(place, false)
  place.disk.damage(`${DIRECTORY}/${FIRST}.log`, 70)
  place.disk.capacityBytes = place.disk.usedBytes
  await t.rejects(place.open({ config: SMALL_INDEX }), { code: 'DISK_FULL' })
  const size = await place.disk.size(`${DIRECTORY}/${FIRST}.log`)
  t.equal(size, 6 * batch(0, 2, 40).bytes.length - batchesShorter())
})

/** Keys of one digit are shorter. */
function batchesShorter(): number {
  const sum = Array.from({ length: 6 }, (_, i) => batch(i * 2, 2, 40).bytes.length).reduce((a, b) => a + b, 0)
  return 6 * batch(0, 2, 40).bytes.length - sum
}

t.test('indexes that are missing or damaged are rebuilt', async t => {
  for (const harm of ['missing', 'damaged'] as const) {
    for (const clean of [true, false]) {
      const place = world({ shared: { tailCacheBytes: 0 } })
      await written(place, true)
      for (const name of (await names(place.disk)).filter(each => each.endsWith('index'))) {
        if (harm === 'missing') await place.disk.remove(`${DIRECTORY}/${name}`)
        else await write(place.disk, name, Buffer.from('odd'))
      }
      const { log } = await world({ disk: place.disk }).open({ cleanShutdown: clean, config: SMALL_INDEX })
      const slices = await log.read(at(9), 10, at(20), true)
      t.equal(slices.firstOffset, 8)
      slices.release()
      t.same(await readAll(log, at(0)), all)
      log.append(batch(20, 1))
      await log.close(true)
      if (!clean) await verifyIndexes(place.disk, DIRECTORY)
    }
  }
})

t.test('left-overs are handled as Kafka does', async t => {
  const place = world()
  await written(place, true)
  const { disk } = place
  const old = `${DIRECTORY}/${FIRST}.log`
  await write(disk, '00000000000000000003.log.deleted', Buffer.from('x'))
  await write(disk, '00000000000000000040.log.cleaned', Buffer.from('x'))
  await write(disk, '00000000000000000050.log.swap', Buffer.from('x'))
  await write(disk, '00000000000000000099.index', Buffer.alloc(8))
  // The first segment compacted to its second and fifth batch.
  const compacted = Buffer.concat([batch(2, 2, 40).bytes, batch(10, 2, 40).bytes])
  await write(disk, `${FIRST}.log.swap`, compacted)
  const { log } = await place.open({ cleanShutdown: true, config: SMALL_INDEX })
  t.same(await disk.readFile(old), compacted, 'a finished compaction takes the place of what it covers')
  t.same(
    (await names(disk)).filter(name => name.endsWith('.log')),
    [`${FIRST}.log`, `${SECOND}.log`],
  )
  t.notOk((await names(disk)).some(name => /deleted|cleaned|swap|99/.test(name)))
  const slices = await log.read(at(5), 10, at(20), true)
  t.equal(slices.firstOffset, 10, 'a gap is skipped')
  slices.release()
})

t.test('the newest sound snapshot is replayed from; those beyond the end are removed', async t => {
  const place = world()
  await written(place, false)
  const { log } = await place.open({ config: SMALL_INDEX })
  await log.writeSnapshot({ offset: at(8), entries: [] })
  await log.writeSnapshot({ offset: at(16), entries: [] })
  await log.close(false)
  await write(place.disk, '00000000000000000016.snapshot', Buffer.from('damaged'), 0)
  await write(place.disk, '00000000000000000077.snapshot', Buffer.from('beyond'))
  let snapshot: ProducerSnapshot | null | undefined
  const headers: BatchHeader[] = []
  await place.open({
    config: SMALL_INDEX,
    recoveryPoint: at(20),
    replay: {
      snapshot: each => {
        snapshot = each
      },
      batch: header => headers.push(header),
    },
  })
  t.equal(snapshot?.offset, 8)
  t.same(
    headers.map(header => header.baseOffset),
    [8, 10, 12, 14, 16, 18],
  )
  t.same(
    (await names(place.disk)).filter(name => name.endsWith('.snapshot')),
    ['00000000000000000008.snapshot'],
  )
})

t.test('a log that ends before its start offset starts anew', async t => {
  const place = world()
  await written(place, true)
  const { log } = await place.open({ cleanShutdown: true, logStartOffset: at(500) })
  t.equal(log.firstOffset, 500)
  t.equal(log.endOffset, 500)
  t.equal(place.log.of('error').length, 1)
})

t.test('a mark of a clean stop is not believed when records are missing that were there then', async t => {
  const place = world()
  await written(place, true)
  await place.disk.remove(`${DIRECTORY}/${SECOND}.log`)
  const { log, recovered } = await place.open({
    cleanShutdown: true,
    recoveryPoint: at(20),
    config: SMALL_INDEX,
  })
  t.ok(recovered.scanned)
  t.equal(log.endOffset, 12)
  t.match(place.log.of('error'), [{ fields: { endOffset: 12, recoveryPoint: 20 } }])
})

for (const [cleanShutdown, recoveryPoint] of [
  [true, 20],
  [false, 20],
  [false, 0],
] as const) {
  t.test(
    `segments that overlap are not cut but refused, after ${cleanShutdown ? 'a clean stop' : `a kill at ${recoveryPoint}`} too`,
    async t => {
      const place = world()
      await written(place, cleanShutdown)
      await write(place.disk, '00000000000000000005.log', Buffer.from('a file that somebody put there'))
      await place.disk.remove(`${DIRECTORY}/${SECOND}.log`)
      const before = await names(place.disk)
      const size = await place.disk.size(`${DIRECTORY}/${FIRST}.log`)
      const refusal = {
        code: 'CORRUPT_LOG',
        message: /up to offset 11 here, but 00000000000000000005.log begins at 5/,
      }
      const opening = { recoveryPoint: at(recoveryPoint), config: SMALL_INDEX }
      await t.rejects(place.open({ ...opening, cleanShutdown }), refusal)
      await t.rejects(place.open({ ...opening, cleanShutdown: false }), refusal, 'the next start has no mark')
      t.same(
        (await names(place.disk)).filter(name => name.endsWith('.log')),
        before.filter(name => name.endsWith('.log')),
        'nothing was removed',
      )
      t.equal(await place.disk.size(`${DIRECTORY}/${FIRST}.log`), size, 'nor cut')
    },
  )
}

t.test('progress is told while a scan takes long', async t => {
  const place = world()
  const { log } = await place.open()
  for (let i = 0; i < 5; i++) log.append(batch(i, 1, 1_500_000))
  await log.writePending()
  await log.close(false)
  const seen: number[] = []
  // Every look at the clock is a second later.
  const slow = world({ disk: place.disk })
  const monotonicMs = slow.clock.monotonicMs.bind(slow.clock)
  slow.clock.monotonicMs = () => {
    slow.clock.skip(1000)
    return monotonicMs()
  }
  await slow.open({ onProgress: progress => seen.push(progress.scannedBytes / progress.totalBytes) })
  t.ok(seen.length >= 5)
  t.same(
    seen,
    [...seen].sort((a, b) => a - b),
  )
  t.ok(seen.at(-1)! <= 1)
})
