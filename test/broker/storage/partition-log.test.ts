import t from 'tap'
import { DiskError } from '../../../broker/env.ts'
import { SlabPool } from '../../../broker/slab.ts'
import { AppendError } from '../../../broker/storage/types.ts'
import { at, batch, CONFIG, DIRECTORY, readAll, take, world } from './helpers.ts'

t.test('what is appended is readable when it is written, and durable when it is synced', async t => {
  const { log } = await world().open()
  log.append(batch(0, 3))
  t.equal(log.endOffset, 3)
  t.equal(log.writtenOffset, 0)
  t.equal((await take(log.read(at(0), 1e6, at(3), true))).length, 0, 'nobody sees what is not written')
  t.equal(log.writePending(), undefined, 'a small write is done on the loop')
  t.equal(log.writtenOffset, 3)
  t.equal(log.durableOffset, 0)
  t.equal(await log.sync(), 3)
  t.same(await take(log.read(at(0), 1e6, at(3), true)), Buffer.from(batch(0, 3).bytes))
})

t.test('syncs: one is under way, all who come meanwhile share the next', async t => {
  const { disk, open, clock } = world()
  const { log } = await open()
  const release = disk.hold('sync', /\.log$/)
  log.append(batch(0))
  log.writePending()
  const first = log.sync()
  await clock.settle()
  log.append(batch(1))
  log.writePending()
  const second = log.sync()
  const third = log.sync()
  t.equal(second, third, 'they wait for the same sync')
  t.not(first, second)
  release()
  t.equal(await first, 1, 'a sync promises what was written when it began')
  t.equal(await second, 2)
})

t.test('a failed sync is the end of the log', async t => {
  const { disk, open } = world()
  const { log } = await open()
  log.append(batch(0))
  log.writePending()
  disk.inject({ operation: 'sync', path: /\.log$/, code: 'IO_ERROR', times: 1 })
  await t.rejects(log.sync(), { code: 'IO_ERROR' })
  t.match(log.failure, { code: 'IO_ERROR' })
  await t.rejects(log.sync(), { code: 'IO_ERROR' }, 'it is not tried again')
  t.throws(() => log.append(batch(1)), { code: 'IO_ERROR' })
  t.equal(log.durableOffset, 0)
  t.equal((await take(log.read(at(0), 1e6, at(1), true))).length, batch(0).bytes.length, 'reading goes on')
})

for (const way of ['loop', 'pool'] as const) {
  t.test(`a full disk (write on the ${way}): nothing of the append remains, later ones go on`, async t => {
    const place = world()
    const { log } = await place.open()
    log.append(batch(0, 2))
    await log.writePending()
    if (way === 'pool') slowDown(place)
    place.disk.capacityBytes = place.disk.usedBytes + 100
    log.append(batch(2, 2, 200))
    log.append(batch(4, 2, 200))
    const error = await failureOf(() => log.writePending())
    t.type(error, AppendError)
    t.match(error, { endOffset: 2, cause: { code: 'DISK_FULL' } })
    t.equal(log.endOffset, 2)
    t.equal(log.activeSegment.sizeBytes, batch(0, 2).bytes.length)
    t.equal((await readAll(log, at(0))).length, batch(0, 2).bytes.length, 'reading goes on')
    place.disk.capacityBytes = Infinity
    log.append(batch(2, 1))
    await log.writePending()
    await log.sync()
    place.disk.crash({ keep: 'all' })
    const again = await world({ disk: place.disk }).open()
    t.equal(again.log.endOffset, 3, 'the refused batches do not come back')
    t.equal(again.recovered.truncatedBytes, 0)
  })
}

t.test('batches that came while a failing write was under way are gone too', async t => {
  const place = world()
  const { log } = await place.open()
  slowDown(place)
  place.disk.inject({ operation: 'write', path: /\.log$/, code: 'IO_ERROR', times: 1 })
  log.append(batch(0))
  const first = failureOf(() => log.writePending())
  log.append(batch(1))
  log.roll(at(2))
  log.append(batch(2))
  const second = failureOf(() => log.writePending())
  t.match(await first, { name: 'AppendError', endOffset: 0 })
  t.match(await second, { name: 'AppendError', endOffset: 0 })
  t.equal(log.endOffset, 0)
  t.equal(log.segments.length, 1, 'the segment that was rolled for them has never been')
  log.append(batch(0, 5))
  await log.writePending()
  t.equal(await log.sync(), 5)
})

t.test('slabs are held until they are written, and by the tail cache after it', async t => {
  const pool = new SlabPool({ slabBytes: 64 * 1024, maxIdleSlabs: 4 })
  const place = world({ shared: { tailCacheBytes: 100 * 1024 } })
  const { log } = await place.open()
  for (let i = 0; i < 3; i++) {
    const slab = pool.acquire()!
    const source = batch(i, 1, 30_000)
    slab.bytes.set(source.bytes)
    log.append({ ...source, bytes: slab.bytes.subarray(0, source.bytes.length), owner: slab })
    slab.release()
  }
  await log.writePending()
  t.equal(pool.slabsInUse, 1, 'the cache is bounded by the slabs that it holds')
  const cached = log.read(at(2), 1e6, at(3), true)
  t.notOk(cached instanceof Promise, 'the tail is read at once')
  await take(cached)
  t.same(await readAll(log, at(0)), Buffer.concat([0, 1, 2].map(i => batch(i, 1, 30_000).bytes)))
  await log.close(true)
  t.equal(pool.slabsInUse, 0)
})

t.test('a read gives whole batches within its bounds', async t => {
  for (const tailCacheBytes of [0, 1e6]) {
    const { log } = await world({ shared: { tailCacheBytes } }).open()
    const batches = [batch(0, 2), batch(2, 3, 500), batch(5, 1)]
    for (const each of batches) log.append(each)
    await log.writePending()
    const sizes = batches.map(each => each.bytes.length)
    const read = async (
      offset: number,
      maxBytes: number,
      limit: number,
      atLeastOne = false,
    ): Promise<number> => (await take(log.read(at(offset), maxBytes, at(limit), atLeastOne))).length
    t.equal(await read(0, 1e6, 6), sizes[0]! + sizes[1]! + sizes[2]!)
    t.equal(
      await read(1, 1e6, 6),
      sizes[0]! + sizes[1]! + sizes[2]!,
      'the batch that holds the offset comes first',
    )
    t.equal(await read(3, 1e6, 6), sizes[1]! + sizes[2]!)
    t.equal(await read(0, 1e6, 4), sizes[0], 'no batch reaches the limit')
    t.equal(await read(2, 1e6, 4), 0)
    t.equal(await read(0, sizes[0]! + 10, 6), sizes[0])
    t.equal(await read(2, 10, 6), 0)
    t.equal(await read(2, 10, 6, true), sizes[1], 'one batch may exceed the bound')
    t.equal(await read(6, 1e6, 6), 0)
    await log.close(true)
  }
})

t.test('a sequential reader finds its next window read ahead', async t => {
  const place = world({ shared: { tailCacheBytes: 0 } })
  const { log } = await place.open()
  for (let i = 0; i < 100; i++) log.append(batch(i, 1, 50_000))
  await log.writePending()
  let next = at(0)
  let atOnce = 0
  const pieces: Buffer[] = []
  while (next < 100) {
    const read = log.read(next, 400_000, at(100), true)
    if (!(read instanceof Promise)) atOnce++
    const slices = await read
    pieces.push(Buffer.concat(slices.slices))
    next = slices.nextOffset
    slices.release()
    // What the consumer does with it takes a while.
    await place.clock.settle()
  }
  t.same(Buffer.concat(pieces), await readAll(log, at(0)))
  t.ok(atOnce >= 10, `${atOnce} of 13 reads are answered at once`)
  await log.close(true)
  t.equal(place.shared.readBuffers.bytesInUse, 0)
})

t.test('bytes that are no batch stop a reader with the place of the damage', async t => {
  const place = world({ shared: { tailCacheBytes: 0 } })
  const { log } = await place.open()
  for (let i = 0; i < 3; i++) log.append(batch(i))
  await log.writePending()
  place.disk.damage(`${DIRECTORY}/00000000000000000000.log`, batch(0).bytes.length + 16)
  await t.rejects(readAll(log, at(0), 10), { name: 'CorruptLogError', position: batch(0).bytes.length })
})

t.test('look-ups by timestamp', async t => {
  const { log } = await world({ shared: { tailCacheBytes: 0 } }).open({
    config: { ...CONFIG, indexIntervalBytes: 50 },
  })
  const times = [10, 30, 20, 30, 50, 40, 60, 60, 55]
  for (const [i, timestamp] of times.entries()) {
    if (i === 4) log.roll(at(4))
    log.append(batch(i, 1, 10, { timestamp }))
  }
  await log.writePending()
  await log.sync()
  const find = async (timestamp: number, from = 0, limit = 9): Promise<number | null> => {
    const found = await log.findByTimestamp(timestamp, at(from), at(limit))
    found?.release()
    return found?.firstOffset ?? null
  }
  t.equal(await find(0), 0)
  t.equal(await find(11), 1)
  t.equal(await find(30), 1)
  t.equal(await find(30, 2), 3)
  t.equal(await find(31), 4)
  t.equal(await find(60), 6)
  t.equal(await find(60, 0, 6), null, 'not beyond the limit')
  t.equal(await find(61), null)
  const largest = await log.findMaxTimestamp(at(0), at(9))
  t.equal(largest?.firstOffset, 6, 'the first of those with the largest timestamp')
  largest?.release()
  const below = await log.findMaxTimestamp(at(0), at(6))
  t.equal(below?.firstOffset, 4)
  below?.release()
  t.equal(await log.findMaxTimestamp(at(9), at(9)), null)
})

t.test('truncation takes whole batches, later segments and snapshots', async t => {
  const place = world()
  const { log } = await place.open({ config: { ...CONFIG, indexIntervalBytes: 50 } })
  for (let i = 0; i < 10; i++) {
    if (i === 5) log.roll(at(10))
    log.append(batch(i * 2, 2, 10, { timestamp: 100 - i }))
  }
  await log.writePending()
  await log.sync()
  await log.writeSnapshot({ offset: at(12), entries: [] })
  await log.writeSnapshot({ offset: at(4), entries: [] })
  t.equal(await log.truncateTo(at(20)), 20, 'nothing to do')
  t.equal(await log.truncateTo(at(7)), 6, 'inside a batch: the log ends before it')
  t.equal(log.segments.length, 1)
  t.equal(log.durableOffset, 6)
  t.same(
    await readAll(log, at(0)),
    Buffer.concat([0, 1, 2].map(i => batch(i * 2, 2, 10, { timestamp: 100 - i }).bytes)),
  )
  const names = (await place.disk.list(DIRECTORY)).map(entry => entry.name)
  t.same(
    names.filter(name => name.endsWith('.snapshot') || name.endsWith('.log')),
    ['00000000000000000000.log', '00000000000000000004.snapshot'],
  )
  log.append(batch(6, 1))
  await log.writePending()
  t.equal(await log.sync(), 7)
  await log.truncateFullyAndStartAt(at(1000))
  t.equal(log.firstOffset, 1000)
  t.equal(log.endOffset, 1000)
})

t.test('old segments are marked first and removed later; the active one stays', async t => {
  const place = world()
  const { log } = await place.open()
  for (let i = 0; i < 3; i++) {
    log.append(batch(i))
    log.roll(at(i + 1))
  }
  log.append(batch(3))
  await log.writePending()
  t.equal(await log.deleteSegmentsBefore(at(2)), 2)
  t.equal(log.firstOffset, 2)
  const deleted = async (): Promise<number> =>
    (await place.disk.list(DIRECTORY)).filter(entry => entry.name.endsWith('.deleted')).length
  t.ok((await deleted()) > 0)
  await log.purgeDeleted(60_000)
  t.ok((await deleted()) > 0)
  await place.clock.advance(60_000)
  await log.purgeDeleted(60_000)
  t.equal(await deleted(), 0)
  t.equal(await log.deleteSegmentsBefore(at(100)), 1)
  t.equal(log.firstOffset, 3)
})

t.test('a warm deleted segment is written over, and nobody reads what was in it', async t => {
  const place = world({ shared: { tailCacheBytes: 0 } })
  const { log } = await place.open()
  for (let i = 0; i < 20; i++) log.append(batch(i, 1, 100))
  const oldSize = log.sizeBytes
  log.roll(at(20))
  log.append(batch(20))
  await log.writePending()
  await log.sync()
  await log.deleteSegmentsBefore(at(20))
  log.roll(at(21))
  log.append(batch(21))
  await log.writePending()
  const size = await place.disk.size(`${DIRECTORY}/00000000000000000021.log`)
  t.equal(size, oldSize, 'the old file has a new name')
  t.same(await readAll(log, at(20)), Buffer.concat([batch(20).bytes, batch(21).bytes]))
  place.disk.crash({ keep: 'all' })
  const again = await world({ disk: place.disk }).open({ recoveryPoint: at(21) })
  t.equal(again.log.endOffset, 22)
  t.equal(again.recovered.truncatedBytes, 0)
  t.same(again.recovered.damaged, [])
})

t.test('deleting a partition leaves nothing', async t => {
  const place = world()
  const { log } = await place.open()
  log.append(batch(0))
  await log.writePending()
  await log.delete('abc')
  t.same(await place.disk.list('/data'), [])
  t.throws(() => log.append(batch(1)), DiskError)
})

t.test('few files are open however many partitions there are', async t => {
  const place = world({ shared: { maxOpenFiles: 4 } })
  const logs = []
  for (let i = 0; i < 20; i++) {
    const { log } = await place.open({ directory: `/data/orders-${i}` })
    log.append(batch(0))
    await log.writePending()
    await log.sync()
    logs.push(log)
  }
  t.ok(place.shared.files.openFiles <= 4)
  for (const log of logs) t.equal((await readAll(log, at(0))).length, batch(0).bytes.length)
  for (const log of logs) await log.close(true)
})

/** Makes the write policy believe that the disk hangs: from now on writes go to the pool. */
function slowDown(place: ReturnType<typeof world>): void {
  const startedMs = place.shared.writePolicy.begin()
  place.clock.skip(1000)
  place.shared.writePolicy.wroteOnLoop(startedMs)
}

async function failureOf(action: () => undefined | Promise<void>): Promise<unknown> {
  try {
    await action()
  } catch (error) {
    return error
  }
  return null
}
