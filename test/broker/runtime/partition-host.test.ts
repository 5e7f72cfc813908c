import t from 'tap'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { type LeaderEpoch, type Offset } from '../../../client/protocol/types.ts'
import {
  assignment,
  crashDisk,
  describe,
  host,
  type Life,
  produce,
  produceOutcome,
  readAll,
  start,
} from './harness.ts'

const LOG = /orders-0\/.*\.log$/
const READ = {
  maxBytes: 1024 * 1024,
  isolation: 'read_uncommitted',
  currentLeaderEpoch: -1,
  lastFetchedEpoch: -1,
  atLeastOne: true,
} as const

async function read(
  life: Life,
  offset: number,
  over: Partial<Parameters<ReturnType<typeof host>['read']>[0]> = {},
) {
  const outcome = await host(life).read({ ...READ, offset: offset as Offset, ...over })
  outcome.release()
  return outcome
}

t.test('produced records are read back in order, with their offsets', async t => {
  const life = await start()
  t.equal(await produce(host(life), ['a', 'b']), 'offset 0')
  t.equal(await produce(host(life), ['c'], { acks: 1 }), 'offset 2')
  t.equal(await produce(host(life), ['d'], { acks: 0 }), 'offset 3')
  await life.env.clock.settle()
  t.same(await readAll(host(life)), ['0:a', '1:b', '2:c', '3:d'])
  await life.stop()
})

t.test('all produces of a turn leave in one write and share a sync', async t => {
  const life = await start()
  const answers = Promise.all(Array.from({ length: 50 }, (_, index) => produce(host(life), [`${index}`])))
  const release = life.env.disk.hold('sync', LOG)
  await life.env.clock.settle()
  t.equal(host(life).describe().highWatermark, 0, 'nothing is committed before the sync')
  t.same(await readAll(host(life)), [], 'nor read')
  release()
  t.equal((await answers).at(-1), 'offset 49')
  t.equal(host(life).describe().durableOffset, 50)
  await life.stop()
})

t.test('acks=1 is answered before the sync', async t => {
  const life = await start()
  const release = life.env.disk.hold('sync', LOG)
  t.equal(await produce(host(life), ['a'], { acks: 1 }), 'offset 0')
  t.equal(host(life).describe().durableOffset, 0)
  release()
  await life.stop()
})

t.test('what is not committed in time is answered as timed out', async t => {
  const life = await start()
  const release = life.env.disk.hold('sync', LOG)
  const answer = produce(host(life), ['a'], { timeoutMs: 100 })
  await life.env.clock.advance(99)
  t.equal(await Promise.race([answer, Promise.resolve('waiting')]), 'waiting')
  await life.env.clock.advance(1)
  t.equal(await answer, 'REQUEST_TIMED_OUT')
  release()
  await life.stop()
})

t.test('an acknowledged record survives a power cut, one that is not may go', async t => {
  const disk = crashDisk()
  const life = await start({ disk })
  t.equal(await produce(host(life), ['kept'], { producer: 7n }), 'offset 0')
  const release = disk.hold('sync', LOG)
  const unanswered = produce(host(life), ['lost'], { producer: 7n, sequence: 1 })
  await life.env.clock.settle()
  disk.crash({ keep: 'none' })
  release()
  const next = await start({ disk })
  t.same(await readAll(host(next)), ['0:kept'])
  t.equal(await produce(host(next), ['kept'], { producer: 7n }), 'offset 0', 'a retry is recognised')
  t.equal(await produce(host(next), ['lost'], { producer: 7n, sequence: 1 }), 'offset 1')
  t.same(await readAll(host(next)), ['0:kept', '1:lost'])
  void unanswered
  await next.stop()
})

t.test(
  'a full disk refuses exactly what it could not take, reading goes on, and so does writing when there is room',
  async t => {
    const life = await start()
    const { disk } = life.env
    t.equal(await produce(host(life), ['a'], { producer: 7n }), 'offset 0')
    disk.capacityBytes = disk.usedBytes + 20
    const answers = await Promise.all([
      produce(host(life), ['b'], { producer: 7n, sequence: 1 }),
      produce(host(life), ['c'], { acks: 1 }),
    ])
    t.same(answers, ['KAFKA_STORAGE_ERROR', 'KAFKA_STORAGE_ERROR'])
    t.same(await readAll(host(life)), ['0:a'])
    t.same(life.fatal, [])
    disk.capacityBytes = Infinity
    t.equal(await produce(host(life), ['b'], { producer: 7n, sequence: 1 }), 'offset 1')
    t.same(await readAll(host(life)), ['0:a', '1:b'])
    await life.stop()

    const next = await start({ disk })
    t.same(await readAll(host(next)), ['0:a', '1:b'], 'no half-written record is left behind')
    await next.stop()
  },
)

t.test('followers hear of what the disk took before it was full', async t => {
  const life = await start({ assignments: [assignment({ logConfig: { segmentBytes: 150 } })] })
  const { disk } = life.env
  t.equal(await produce(host(life), ['a']), 'offset 0')
  const heard: number[] = []
  host(life).replicaWaiters.addWaiter({ wake: () => heard.push(host(life).state.writtenOffset) })
  // The second of them would begin a segment.
  disk.capacityBytes = disk.usedBytes + 100
  const answers = await Promise.all([produce(host(life), ['b']), produce(host(life), ['c'])])
  t.same(answers, ['offset 1', 'KAFKA_STORAGE_ERROR'])
  t.same(heard, [2])
  disk.capacityBytes = Infinity
  await life.stop()
})

t.test('a sync may be for the first segment of a write that still goes on in the next', async t => {
  const life = await start({ assignments: [assignment({ logConfig: { segmentBytes: 300 } })] })
  t.equal(await produce(host(life), ['a']), 'offset 0')
  const endSync = life.env.disk.hold('sync', LOG)
  const second = produce(host(life), ['b'])
  await life.env.clock.settle()
  // The sync under way is too early for this one, which gets one of its own.
  const next = produce(host(life), ['c'])
  await life.env.clock.settle()
  const endWrite = life.env.disk.hold('write', /0+4\.log$/)
  const both = [produce(host(life), ['d']), produce(host(life), ['e'])]
  await life.env.clock.settle()
  t.equal(host(life).state.writtenOffset, 3, 'nobody was told of a write')
  endSync()
  await life.env.clock.settle()
  t.same(life.fatal, [])
  t.same(await Promise.all([second, next, both[0]]), ['offset 1', 'offset 2', 'offset 3'])
  t.equal(host(life).state.writtenOffset, 4)
  endWrite()
  t.equal(await both[1], 'offset 4')
  await life.stop()
})

t.test('a failed write in the thread pool takes back what came meanwhile, and nothing else', async t => {
  const life = await start()
  const big = 'x'.repeat(900_000)
  t.equal(await produce(host(life), ['a']), 'offset 0')
  const release = life.env.disk.hold('write', LOG)
  const remove = life.env.disk.inject({ operation: 'write', path: LOG, code: 'IO_ERROR', times: 1 })
  const first = produce(host(life), [big])
  await life.env.clock.settle()
  const second = produce(host(life), ['c'])
  release()
  t.equal(await first, 'KAFKA_STORAGE_ERROR')
  const after = await second
  remove()
  t.match(after, /KAFKA_STORAGE_ERROR|offset 1/)
  const expected = after === 'offset 1' ? ['0:a', '1:c', '2:d'] : ['0:a', '1:d']
  await produce(host(life), ['d'])
  t.same(await readAll(host(life)), expected)
  await life.stop()
})

t.test('a failed sync ends the broker: nothing is acknowledged any more', async t => {
  const disk = crashDisk()
  const life = await start({ disk, assignments: [assignment(), assignment({ partition: 1 })] })
  t.equal(await produce(host(life), ['a']), 'offset 0')
  disk.inject({ operation: 'sync', path: LOG, code: 'IO_ERROR', times: 1 })
  let answered = 'nothing'
  void produceOutcome(host(life), ['b']).then(outcome => {
    answered = describe(outcome)
  })
  await life.env.clock.settle()
  t.equal(life.fatal.length, 1)
  t.not(answered, 'offset 1')
  t.equal(await produce(host(life, 1), ['c']), 'KAFKA_STORAGE_ERROR', 'by no partition')
  await life.manager.stop(true)
  await life.folder.close(true)
  const next = await start({ disk, assignments: [assignment(), assignment({ partition: 1 })] })
  t.equal(next.folder.cleanShutdown, false, 'the stop after it is no clean one')
  t.equal((await readAll(host(next)))[0], '0:a')
  await next.stop()
})

t.test('a reader is told where it may read', async t => {
  const life = await start({ assignments: [assignment({ leaderEpoch: 3 as LeaderEpoch })] })
  await produce(host(life), ['a', 'b'])
  t.match(await read(life, 0), { error: 0, highWatermark: 2, lastStableOffset: 2, logStartOffset: 0 })
  t.match(await read(life, 2), { error: 0, byteLength: 0 }, 'the end is no error')
  t.match(await read(life, 3), { error: ErrorCode.OFFSET_OUT_OF_RANGE })
  t.match(await read(life, 0, { currentLeaderEpoch: 2 }), { error: ErrorCode.FENCED_LEADER_EPOCH })
  t.match(await read(life, 0, { currentLeaderEpoch: 4 }), { error: ErrorCode.UNKNOWN_LEADER_EPOCH })
  t.match(await read(life, 0, { currentLeaderEpoch: 3 }), { error: 0 })
  t.match(await read(life, 2, { lastFetchedEpoch: 3 }), { error: 0, divergingEpoch: null })
  t.match(
    await read(life, 2, { lastFetchedEpoch: 2 }),
    { error: 0, byteLength: 0, divergingEpoch: { epoch: 2, endOffset: 0 } },
    'a log of another epoch parts where this one began',
  )
  t.match(await read(life, 2, { lastFetchedEpoch: 9 }), { error: ErrorCode.OFFSET_OUT_OF_RANGE })
  t.match(await read(life, 0, { isolation: 'read_committed' }), { abortedTransactions: [] })
  t.match(host(life).offsetForLeaderEpoch(-1, 3), { error: 0, leaderEpoch: 3, endOffset: 2 })
  await life.stop()
})

t.test('the readable bytes are known without reading', async t => {
  const life = await start()
  const at = (offset: number) => host(life).readableBytes(offset as Offset, 'read_uncommitted')
  t.equal(at(0), 0)
  await produce(host(life), ['a', 'b'])
  const whole = (await read(life, 0)).byteLength
  t.equal(at(0), whole)
  t.equal(at(2), 0)
  t.equal(at(3), Infinity)
  await life.stop()
})

t.test('readers are woken when the high watermark moves', async t => {
  const life = await start()
  let woken = 0
  const unsubscribe = host(life).onReadable(() => {
    woken += 1
  })
  const release = life.env.disk.hold('sync', LOG)
  const answer = produce(host(life), ['a'])
  await life.env.clock.settle()
  t.equal(woken, 0, 'not by what is not committed')
  release()
  await answer
  t.equal(woken, 1)
  unsubscribe()
  await produce(host(life), ['b'])
  t.equal(woken, 1)
  await life.stop()
})

t.test('offsets by time', async t => {
  const life = await start({ assignments: [assignment({ leaderEpoch: 2 as LeaderEpoch })] })
  const T = 1_700_000_000_000
  const at = async (timestamp: number) => {
    const {
      error,
      offset,
      timestamp: found,
      leaderEpoch,
    } = await host(life).listOffset(timestamp, 'read_uncommitted', -1)
    return [error, offset, found, leaderEpoch]
  }
  t.same(await at(-1), [0, 0, -1, 2])
  t.same(await at(-3), [0, -1, -1, -1], 'an empty log has no largest timestamp')
  await produce(host(life), ['a', 'b'], { timestamp: T - 2000 })
  await produce(host(life), ['c'], { timestamp: T, codec: 'gzip' })
  await produce(host(life), ['d'], { timestamp: T - 1000 })
  t.same(await at(-1), [0, 4, -1, 2])
  t.same(await at(-2), [0, 0, -1, 2])
  t.same(await at(-3), [0, 2, T, 2])
  t.same(await at(-4), [0, 0, -1, 2])
  t.same(await at(-5), [0, -1, -1, -1])
  t.same(await at(-6), [0, -1, -1, -1])
  t.same(await at(-7), [ErrorCode.INVALID_REQUEST, -1, -1, -1])
  t.same(await at(0), [0, 0, T - 2000, 2])
  t.same(await at(T - 1500), [0, 2, T, 2])
  t.same(await at(T + 1), [0, -1, -1, -1])
  t.match(await host(life).listOffset(-1, 'read_uncommitted', 1), { error: ErrorCode.FENCED_LEADER_EPOCH })
  await host(life).deleteRecords(1)
  t.same(await at(-2), [0, 1, -1, 2])
  t.same(await at(0), [0, 1, T - 2000, 2], 'a record below the log start is not found')
  await life.stop()
})

t.test('deleted records are gone for good', async t => {
  const disk = crashDisk()
  const life = await start({ disk })
  for (const value of ['a', 'b', 'c']) await produce(host(life), [value])
  t.match(await host(life).deleteRecords(4), { error: ErrorCode.OFFSET_OUT_OF_RANGE })
  t.match(await host(life).deleteRecords(2), { error: 0, lowWatermark: 2 })
  t.match(await host(life).deleteRecords(1), { error: 0, lowWatermark: 2 }, 'the start never goes back')
  t.match(await read(life, 1), { error: ErrorCode.OFFSET_OUT_OF_RANGE })
  disk.crash({ keep: 'none' })
  const next = await start({ disk })
  t.same(await readAll(host(next)), ['2:c'])
  t.match(await host(next).deleteRecords(-1), { error: 0, lowWatermark: 3 })
  await next.stop()
})

t.test('LogAppendTime is the time of the broker, for the records and for a retry', async t => {
  const life = await start({
    assignments: [assignment({ logConfig: { messageTimestampType: 'LogAppendTime' } })],
  })
  const wallMs = life.env.clock.wallMs()
  const send = () => produceOutcome(host(life), ['a'], { producer: 7n, timestamp: 5 })
  t.match(await send(), { baseOffset: 0, logAppendTimeMs: wallMs })
  life.env.clock.jumpWall(1000)
  t.match(await send(), { baseOffset: 0, logAppendTimeMs: wallMs })
  t.match(await host(life).listOffset(-3, 'read_uncommitted', -1), { timestamp: wallMs, offset: 0 })
  await life.stop()
})

t.test('the producers of a partition are told', async t => {
  const life = await start()
  await produce(host(life), ['a', 'b'], { producer: 7n })
  t.match(host(life).describeProducers(), [
    { producerId: 7n, producerEpoch: 0, lastSequence: 1, currentTransactionStartOffset: -1 },
  ])
  await life.stop()
})

t.test('an answer may lead to the next request at once', async t => {
  const life = await start()
  const answers: string[] = []
  const next = (count: number): void => {
    void produceOutcome(host(life), [`${count}`]).then(outcome => {
      answers.push(describe(outcome))
      if (count < 5) next(count + 1)
    })
  }
  next(0)
  await life.env.clock.settle()
  await life.env.clock.advance(10)
  t.same(answers.at(-1), 'offset 5')
  await life.stop()
})

t.test('with log.flush.before.ack=false nothing waits for a sync', async t => {
  const life = await start({
    assignments: [assignment({ logConfig: { flushBeforeAck: false, flushMs: 1000 } })],
  })
  t.equal(await produce(host(life), ['a']), 'offset 0')
  t.equal(host(life).describe().durableOffset, 0)
  t.same(await readAll(host(life)), ['0:a'])
  await life.env.clock.advance(1000)
  t.equal(host(life).describe().durableOffset, 1, 'flush.ms')
  await life.stop()
})

t.test('a large log goes from segment to segment and is read across them', async t => {
  const life = await start({
    assignments: [assignment({ logConfig: { segmentBytes: 4096, indexIntervalBytes: 512 } })],
  })
  const values = Array.from({ length: 300 }, (_, index) => `value ${index}`)
  for (let from = 0; from < values.length; from += 20) {
    await Promise.all(
      values
        .slice(from, from + 20)
        .map(value => produce(host(life), [value], { producer: 7n, sequence: values.indexOf(value) })),
    )
  }
  t.ok(host(life).describe().segments > 3)
  t.same(
    await readAll(host(life)),
    values.map((value, index) => `${index}:${value}`),
  )
  t.same(
    await readAll(host(life), 250),
    values.slice(250).map((value, index) => `${250 + index}:${value}`),
  )
  t.same(life.env.log.of('error'), [])
  await life.stop()
})
