import t from 'tap'
import { DiskError, type Receiver, type Socket } from '../../broker/env.ts'
import { ManualClock } from '../../broker/env-memory/clock.ts'
import { MemoryDisk } from '../../broker/env-memory/disk.ts'
import { MemoryNetwork } from '../../broker/env-memory/network.ts'
import { SeededRandom } from '../../broker/env-memory/random.ts'
import { createMemoryEnv } from '../../broker/env-memory.ts'

t.test('the clock moves by hand and fires what is due in order', async t => {
  const clock = new ManualClock({ wallMs: 1000 })
  const seen: string[] = []
  const note = (name: string) => () => void seen.push(`${name} at ${clock.monotonicMs()}`)
  clock.set(20, note('b'))
  clock.set(10, () => {
    note('a')()
    clock.set(5, note('a2'))
  })
  clock.set(20, note('c'))
  clock.clear(clock.set(15, note('never')))
  await clock.advance(19)
  t.same(seen, ['a at 10', 'a2 at 15'])
  await clock.advance(1)
  t.same(seen.slice(2), ['b at 20', 'c at 20'])
  t.equal(clock.wallMs(), 1020)
  clock.jumpWall(-500)
  t.equal(clock.wallMs(), 520)
  t.equal(clock.monotonicMs(), 20)
  t.equal(clock.nextTimerMs, null)
})

t.test('the end of a turn comes after the promises that are ready', async t => {
  const clock = new ManualClock()
  const seen: string[] = []
  clock.endOfTurn(() => seen.push('end'))
  void (async () => {
    for (let i = 0; i < 5; i++) await Promise.resolve()
    seen.push('promise')
  })()
  await clock.settle()
  t.same(seen, ['promise', 'end'])
})

t.test('chance repeats with its seed', async t => {
  const draw = (seed: number): number[] => {
    const random = new SeededRandom(seed)
    return [random.int(1000), random.int(1000), random.float(), ...random.bytes(4), random.fork().int(1000)]
  }
  t.same(draw(5), draw(5))
  t.notSame(draw(5), draw(6))
  const random = new SeededRandom(1)
  const counts = Array.from({ length: 10 }, () => 0)
  for (let i = 0; i < 10_000; i++) counts[random.int(10)]!++
  t.ok(
    counts.every(count => count > 850 && count < 1150),
    `${counts}`,
  )
})

t.test('a memory disk holds what was written, sparse files included', async t => {
  const disk = new MemoryDisk()
  await disk.makeDirectory('/a/b')
  const file = await disk.open('/a/b/f', 'create-new')
  await t.rejects(disk.open('/a/b/f', 'create-new'), { code: 'ALREADY_EXISTS' })
  await t.rejects(disk.open('/a/b/none', 'read'), { code: 'NOT_FOUND' })
  const far = 1_000_000
  file.writeSync([Buffer.from('abc'), Buffer.from('def')], 10)
  await file.write([Buffer.from('end')], far)
  t.equal(await file.size(), far + 3)
  const into = Buffer.alloc(20, 'x')
  t.equal(await file.read(into, 8), 20)
  t.equal(into.toString('latin1'), `\0\0abcdef${'\0'.repeat(12)}`)
  t.equal(file.readSync(into, far), 3)
  await file.truncate(12)
  await file.truncate(16)
  t.equal((await disk.readFile('/a/b/f')).toString('latin1'), `${'\0'.repeat(10)}ab\0\0\0\0`)
  await disk.rename('/a/b/f', '/a/g')
  t.same(await disk.list('/a'), [
    { name: 'b', kind: 'directory' },
    { name: 'g', kind: 'file' },
  ])
  t.equal(disk.usedBytes, 16)
  await disk.removeTree('/a')
  t.equal(disk.usedBytes, 0)
  await file.close()
  await t.rejects(file.read(into, 0), DiskError)
  const unlock = await disk.lock('/a')
  await t.rejects(disk.lock('/a'), { code: 'LOCKED' })
  await unlock()
  await (await disk.lock('/a'))()
})

t.test('a crash loses what was not synced: bytes, names, renames', async t => {
  const disk = new MemoryDisk({ trackCrashes: true })
  await disk.makeDirectory('/d')
  await disk.syncDirectory('/')
  const kept = await disk.open('/d/kept', 'create')
  await kept.write([Buffer.from('durable')], 0)
  await kept.sync()
  await disk.syncDirectory('/d')
  await kept.write([Buffer.from('LOST')], 0)
  const nameless = await disk.open('/d/nameless', 'create')
  await nameless.write([Buffer.from('x')], 0)
  await nameless.sync()
  await disk.rename('/d/kept', '/d/renamed')
  disk.crash({ keep: 'none' })
  t.same(await disk.list('/d'), [{ name: 'kept', kind: 'file' }])
  t.equal((await disk.readFile('/d/kept')).toString(), 'durable')
  await t.rejects(kept.write([Buffer.from('x')], 0), /power was cut/)
})

t.test('who lived before a crash changes nothing after it', async t => {
  const disk = new MemoryDisk({ trackCrashes: true })
  const { disk: before } = createMemoryEnv({ disk })
  await before.makeDirectory('/d')
  await before.syncDirectory('/')
  const unlock = await before.lock('/d')
  disk.crash({ keep: 'all' })
  await t.rejects(before.open('/d/f', 'create'), /power was cut/)
  await t.rejects(before.rename('/d', '/e'), /power was cut/)
  t.same(await before.list('/d'), [], 'looking is allowed')
  const { disk: after } = createMemoryEnv({ disk })
  await after.open('/d/f', 'create')
  await after.lock('/d')
  await unlock()
  await t.rejects(after.lock('/d'), { code: 'LOCKED' }, 'a lock of the dead is not the lock of the living')
})

t.test('a random crash keeps parts of unsynced writes, the same with the same seed', async t => {
  const outcome = async (seed: number): Promise<string> => {
    const disk = new MemoryDisk({ trackCrashes: true })
    await disk.makeDirectory('/d')
    await disk.syncDirectory('/')
    const file = await disk.open('/d/f', 'create')
    await disk.syncDirectory('/d')
    for (let i = 0; i < 8; i++) await file.write([Buffer.alloc(700, 65 + i)], i * 700)
    disk.crash({ keep: 'random', random: new SeededRandom(seed) })
    return (await disk.readFile('/d/f')).toString('latin1')
  }
  t.equal(await outcome(3), await outcome(3))
  const outcomes = new Set(await Promise.all(Array.from({ length: 20 }, (_, seed) => outcome(seed))))
  t.ok(outcomes.size > 10)
})

t.test('a disk fails where and when it is told to', async t => {
  const disk = new MemoryDisk({ capacityBytes: 100 })
  await disk.makeDirectory('/d')
  const file = await disk.open('/d/f', 'create')
  await t.rejects(file.write([Buffer.alloc(60), Buffer.alloc(60, 1)], 0), { code: 'DISK_FULL' })
  t.equal(await file.size(), 100, 'what fits is there')
  t.match(await disk.space('/d'), { totalBytes: 100, freeBytes: 0 })
  const stop = disk.inject({ operation: 'sync', path: /f$/, code: 'IO_ERROR', after: 1 })
  await file.sync()
  await t.rejects(file.sync(), { code: 'IO_ERROR' })
  stop()
  await file.sync()
  const release = disk.hold('read')
  let isRead = false
  const reading = file.read(Buffer.alloc(1), 0).then(() => {
    isRead = true
  })
  for (let i = 0; i < 100; i++) await Promise.resolve()
  t.notOk(isRead)
  release()
  await reading
})

/** A receiver that gathers all, with little room. */
function receiver(): Receiver & { text: string; events: string[] } {
  const room = Buffer.alloc(7)
  return {
    text: '',
    events: [],
    room: () => room,
    received(length) {
      this.text += room.toString('latin1', 0, length)
    },
    ended() {
      this.events.push('ended')
    },
    closed(error) {
      this.events.push(error === null ? 'closed' : error.code)
    },
  }
}

t.test('connections carry bytes in order, in whatever pieces, and end as told', async t => {
  const random = new SeededRandom(7)
  const network = new MemoryNetwork({ split: length => 1 + random.int(length) })
  const { clock } = createMemoryEnv()
  const accepted: Socket[] = []
  const listener = await network.listen({ host: '127.0.0.1', port: 0 }, socket => accepted.push(socket))
  await t.rejects(network.connect({ host: '127.0.0.1', port: 1 }, 100), { code: 'ECONNREFUSED' })
  const client = await network.connect(listener.address, 100)
  const server = accepted[0]!
  const atServer = receiver()
  const atClient = receiver()
  client.start(atClient)
  let done = 0
  client.write([Buffer.from('hello '), Buffer.from('wide world')], () => done++)
  await clock.settle()
  t.equal(done, 0, 'nobody reads yet')
  t.equal(client.pendingBytes, 16)
  server.start(atServer)
  await clock.settle()
  t.equal(atServer.text, 'hello wide world')
  t.equal(done, 1)
  t.equal(client.pendingBytes, 0)
  server.pause()
  client.write([Buffer.from('!')], () => done++)
  await clock.settle()
  t.equal(atServer.text, 'hello wide world')
  server.resume()
  client.end()
  await clock.settle()
  t.equal(atServer.text, 'hello wide world!')
  t.same(atServer.events, ['ended'])
  server.write([Buffer.from('bye')], () => done++)
  server.end()
  await clock.settle()
  t.equal(atClient.text, 'bye')
  t.same(atClient.events, ['ended', 'closed'])
  t.same(atServer.events, ['ended', 'closed'])

  const other = await network.connect(listener.address, 100)
  const atOther = receiver()
  const atAccepted = receiver()
  other.start(atOther)
  accepted[1]!.start(atAccepted)
  other.destroy()
  let failure: unknown = null
  other.write([Buffer.from('x')], error => {
    failure = error
  })
  await clock.settle()
  t.same(atOther.events, ['closed'])
  t.same(atAccepted.events, ['ECONNRESET'])
  t.match(failure, { code: 'EPIPE' })
  await listener.close()
  await t.rejects(network.connect(listener.address, 100), { code: 'ECONNREFUSED' })
})

t.test('whoever destroys a socket after its end takes nothing more from it', async t => {
  const network = new MemoryNetwork()
  const { clock } = createMemoryEnv()
  const accepted: Socket[] = []
  const listener = await network.listen({ host: '127.0.0.1', port: 0 }, socket => accepted.push(socket))
  for (const isUnread of [true, false]) {
    const client = await network.connect(listener.address, 100)
    const server = accepted.at(-1)!
    const atServer = receiver()
    client.start(receiver())
    client.pause()
    server.start(atServer)
    const failures: unknown[] = []
    const send = (): void => server.write([Buffer.from('x')], error => failures.push(error))
    if (isUnread) send()
    client.end()
    await clock.settle()
    client.destroy()
    await clock.settle()
    if (!isUnread) send()
    await clock.settle()
    t.match(
      failures,
      [{ code: 'ECONNRESET' }],
      isUnread ? 'what it has not read is lost' : 'nor what comes later',
    )
    t.same(atServer.events, ['ended', 'ECONNRESET'])
  }
  await listener.close()
})

t.test(
  'a sync covers what was there when it began, and nothing that came while it was under way',
  async t => {
    const disk = new MemoryDisk({ trackCrashes: true })
    await disk.makeDirectory('/d')
    await disk.syncDirectory('/')
    const releases: (() => void)[] = []
    const slow = disk.view(operation =>
      operation.startsWith('sync') ? new Promise<void>(resolve => void releases.push(resolve)) : null,
    )
    const file = await slow.open('/d/early', 'create-new')
    await file.write([Buffer.from('abc')], 0)
    const syncs = [file.sync(), slow.syncDirectory('/d')]
    await file.write([Buffer.from('def')], 3)
    await slow.open('/d/late', 'create-new')
    for (const release of releases) release()
    await Promise.all(syncs)
    disk.crash({ keep: 'none' })
    t.same(await disk.list('/d'), [{ name: 'early', kind: 'file' }])
    t.equal((await disk.readFile('/d/early')).toString(), 'abc')
  },
)

t.test('the end of a process loses nothing, and makes nothing durable', async t => {
  const disk = new MemoryDisk({ trackCrashes: true })
  await disk.makeDirectory('/d')
  await disk.syncDirectory('/')
  const life = disk.view()
  await life.lock('/d/.lock')
  const file = await life.open('/d/f', 'create-new')
  await file.write([Buffer.from('abc')], 0)
  disk.endLife()
  await t.rejects(file.write([Buffer.from('zombie')], 0), { code: 'IO_ERROR' })
  await disk.view().lock('/d/.lock')
  t.equal((await disk.readFile('/d/f')).toString(), 'abc')
  disk.crash({ keep: 'none' })
  t.same(await disk.list('/d'), [])
})
