import t from 'tap'
import { SeededRandom } from '../../../broker/env-memory/random.ts'
import { type LogConfig } from '../../../broker/log/config.ts'
import { type IsrProposal, type LeadSpec } from '../../../broker/runtime/partition-types.ts'
import { ErrorCode, errorName } from '../../../client/protocol/errors.ts'
import { encodeBatch } from '../../../client/protocol/record.ts'
import { type BrokerId, type LeaderEpoch, type Offset } from '../../../client/protocol/types.ts'
import {
  assignment,
  clusterServices,
  crashDisk,
  host,
  type Life,
  type LifeOptions,
  produce,
  readAll,
  start,
} from './harness.ts'

const LOG = /orders-0\/.*\.log$/
const [ONE, TWO] = [1, 2] as BrokerId[] as [BrokerId, BrokerId]
const READ = {
  maxBytes: 1024 * 1024,
  isolation: 'read_uncommitted',
  currentLeaderEpoch: -1,
  lastFetchedEpoch: -1,
  atLeastOne: true,
} as const

interface Member extends Life {
  readonly proposals: IsrProposal[]
  readonly active: Set<string>
  servingUntilMs: number
}

/** A broker of a cluster; what it knows of the others the test says. */
async function member(options: LifeOptions & { logConfig?: Partial<LogConfig> } = {}): Promise<Member> {
  const { logConfig = {}, ...rest } = options
  const proposals: IsrProposal[] = []
  const active = new Set(['1/1', '2/1'])
  const self = { proposals, active, servingUntilMs: Infinity }
  const life = await start({
    assignments: [assignment({ logConfig })],
    ...rest,
    cluster: clusterServices({
      isActive: (broker, brokerEpoch) => active.has(`${broker}/${brokerEpoch}`),
      proposeIsr: proposal => proposals.push(proposal),
      servingUntilMs: () => self.servingUntilMs,
    }),
  })
  return Object.assign(self, life)
}

function spec(epoch: number, over: Partial<LeadSpec> = {}): LeadSpec {
  return {
    epoch: epoch as LeaderEpoch,
    partitionEpoch: epoch,
    revision: epoch,
    replicas: [ONE, TWO],
    isr: [ONE, TWO],
    ...over,
  }
}

function follow(life: Member, epoch: number, leader: BrokerId | -1 = TWO): void {
  host(life).follow({ epoch: epoch as LeaderEpoch, leader })
}

/** Sends records as the leader of epoch 3 does, to where the log ends. */
function senderTo(life: Member) {
  return (records: Uint8Array, over: object = {}) =>
    host(life).replicate(records, null, {
      epoch: 3 as LeaderEpoch,
      fetchOffset: host(life).describe().logEndOffset,
      highWatermark: 100,
      logStartOffset: 0,
      ...over,
    })
}

/** One fetch of `follower` from `leader`, as fetchers and the fetch API make it; what came of it. */
async function copy(
  leader: Member,
  follower: Member,
  replica = TWO,
  maxBytes = 1024 * 1024,
): Promise<string> {
  const from = host(leader)
  const to = host(follower)
  const position = to.replicaPosition()
  if (position === null) return 'no position'
  const { fetchOffset, lastFetchedEpoch, leaderEpoch } = position
  const error = from.replicaFetched({ replica, brokerEpoch: 1, ...position })
  if (error !== ErrorCode.NONE) return errorName(error)
  const outcome = await from.readForReplica({
    ...READ,
    offset: fetchOffset,
    maxBytes,
    currentLeaderEpoch: leaderEpoch,
    lastFetchedEpoch,
  })
  try {
    if (outcome.error !== ErrorCode.NONE) return errorName(outcome.error)
    if (outcome.divergingEpoch !== null) {
      const { epoch, endOffset } = outcome.divergingEpoch
      return `diverged: ${await to.diverged(epoch, endOffset, leaderEpoch)}`
    }
    const { highWatermark, logStartOffset } = outcome
    const leads = { epoch: leaderEpoch, fetchOffset, highWatermark, logStartOffset }
    return await to.replicate(Buffer.concat(outcome.slices), null, leads)
  } finally {
    outcome.release()
  }
}

/** A leader (broker 1) and a follower (broker 2) with `values` committed on both. */
async function pair(values: readonly string[], options: Parameters<typeof member>[0] = {}) {
  const leader = await member(options)
  const follower = await member({ ...options, brokerId: TWO })
  host(leader).lead(spec(1))
  follow(follower, 1, ONE)
  for (const value of values) {
    const answer = produce(host(leader), [value], { producer: 7n, sequence: values.indexOf(value) })
    await leader.env.clock.settle()
    await copy(leader, follower)
    await copy(leader, follower)
    await answer
  }
  await copy(leader, follower)
  return { leader, follower }
}

function offsets(life: Member) {
  const { logStartOffset, highWatermark, logEndOffset } = host(life).describe()
  return [logStartOffset, highWatermark, logEndOffset]
}

function batch(values: readonly string[], baseOffset: number, epoch: number): Buffer {
  return encodeBatch(
    values.map(value => ({ value, timestamp: 1_700_000_000_000 })),
    { baseOffset: baseOffset as Offset, leaderEpoch: epoch as LeaderEpoch },
  )
}

t.test('in a cluster nobody leads before it is told to', async t => {
  const life = await member()
  t.equal(host(life).role, 'none')
  t.equal(await produce(host(life), ['a']), 'NOT_LEADER_OR_FOLLOWER')
  t.equal(host(life).replicaPosition(), null)
  follow(life, 1)
  t.equal(host(life).role, 'follower')
  t.same(host(life).replicaPosition(), {
    fetchOffset: 0,
    lastFetchedEpoch: -1,
    logStartOffset: 0,
    leaderEpoch: 1,
  })
  await life.stop()
})

t.test('acks=all is answered when the follower has it on disk, and it then may lead', async t => {
  const leader = await member()
  const follower = await member({ brokerId: TWO })
  host(leader).lead(spec(1))
  follow(follower, 1, ONE)
  let answer = 'none yet'
  void produce(host(leader), ['a', 'b']).then(outcome => {
    answer = outcome
  })
  await leader.env.clock.settle()
  const release = follower.env.disk.hold('sync', LOG)
  const copied = copy(leader, follower)
  await follower.env.clock.settle()
  t.equal(host(follower).replicaPosition(), null, 'not before it is on disk')
  release()
  t.equal(await copied, 'ok')
  t.equal(answer, 'none yet', 'the leader learns of it by the next fetch')
  t.equal(await copy(leader, follower), 'ok')
  await leader.env.clock.settle()
  t.equal(answer, 'offset 0')
  t.same(offsets(follower), [0, 2, 2])
  host(follower).lead(spec(2))
  t.same(await readAll(host(follower)), ['0:a', '1:b'])
  await leader.stop()
  await follower.stop()
})

t.test('a follower serves nobody but readers who take that, and those what is committed', async t => {
  const { leader, follower } = await pair(['a'])
  void produce(host(leader), ['b'])
  await leader.env.clock.settle()
  await copy(leader, follower)
  const read = (over: object) => host(follower).read({ ...READ, offset: 0 as Offset, ...over })
  t.match(await read({}), { error: ErrorCode.NOT_LEADER_OR_FOLLOWER })
  t.match(await read({ currentLeaderEpoch: 0 }), { error: ErrorCode.FENCED_LEADER_EPOCH })
  t.match(await host(follower).listOffset(-1, 'read_uncommitted', -1), {
    error: ErrorCode.NOT_LEADER_OR_FOLLOWER,
  })
  t.match(host(follower).offsetForLeaderEpoch(-1, 1), { error: ErrorCode.NOT_LEADER_OR_FOLLOWER })
  t.match(await host(follower).deleteRecords(1), { error: ErrorCode.NOT_LEADER_OR_FOLLOWER })
  const outcome = await read({ allowFollower: true })
  t.match(outcome, { error: 0, highWatermark: 1 })
  t.equal(outcome.byteLength, batch(['a'], 0, 1).length)
  outcome.release()
  t.match(await read({ allowFollower: true, offset: 2 }), { error: 0, byteLength: 0 })
  // The leader may have it.
  t.match(await read({ allowFollower: true, offset: 3 }), { error: ErrorCode.NOT_LEADER_OR_FOLLOWER })
  await leader.stop()
  await follower.stop()
})

t.test('fetches of those who do not follow here are refused', async t => {
  const life = await member()
  const fetched = (over: object = {}) =>
    errorName(
      host(life).replicaFetched({
        replica: TWO,
        brokerEpoch: 1,
        fetchOffset: 0 as Offset,
        lastFetchedEpoch: -1,
        logStartOffset: 0 as Offset,
        leaderEpoch: 3,
        ...over,
      }),
    )
  t.equal(fetched(), 'UNKNOWN_LEADER_EPOCH')
  follow(life, 3)
  t.equal(fetched(), 'NOT_LEADER_OR_FOLLOWER')
  host(life).lead(spec(4))
  t.equal(fetched(), 'FENCED_LEADER_EPOCH')
  t.equal(fetched({ leaderEpoch: 5 }), 'UNKNOWN_LEADER_EPOCH')
  t.equal(fetched({ leaderEpoch: 4, replica: 3 }), 'UNKNOWN_LEADER_EPOCH')
  t.equal(fetched({ leaderEpoch: -1, replica: 3 }), 'NOT_LEADER_OR_FOLLOWER')
  t.equal(fetched({ leaderEpoch: 4, brokerEpoch: 9 }), 'NONE')
  t.equal(fetched({ leaderEpoch: 4, brokerEpoch: 8 }), 'STALE_BROKER_EPOCH')
  await life.stop()
})

t.test('a leader asks for who has caught up, and only for one that is active under its epoch', async t => {
  const { leader, follower } = await pair(['a'])
  host(leader).lead(spec(1, { revision: 5, partitionEpoch: 2, isr: [ONE] }))
  leader.active.delete('2/1')
  await copy(leader, follower)
  t.same(leader.proposals, [])
  leader.active.add('2/1')
  await copy(leader, follower)
  t.match(leader.proposals, [
    { partition: 0, leaderEpoch: 1, revision: 5, isr: [{ broker: 1 }, { broker: 2, brokerEpoch: 1 }] },
  ])
  await copy(leader, follower)
  t.equal(leader.proposals.length, 1)
  // Both outcomes are possible: what is committed must be on both.
  let answer = 'none yet'
  void produce(host(leader), ['b']).then(outcome => {
    answer = outcome
  })
  await leader.env.clock.settle()
  t.equal(answer, 'none yet')
  host(leader).isrDecided(null, leader.proposals[0]!)
  await leader.env.clock.settle()
  t.equal(answer, 'offset 1')
  await leader.stop()
  await follower.stop()
})

t.test('where the logs part the follower is cut to where they agree, for good', async t => {
  const { leader, follower } = await pair(['a', 'b'])
  // Both go on alone: the old leader with records that nobody else has.
  void produce(host(leader), ['lost 1'], { producer: 7n, sequence: 2 })
  void produce(host(leader), ['lost 2'], { producer: 7n, sequence: 3 })
  await leader.env.clock.settle()
  host(follower).lead(spec(2))
  follow(leader, 2, TWO)
  void produce(host(follower), ['c'], { producer: 7n, sequence: 2 })
  await follower.env.clock.settle()
  t.equal(await copy(follower, leader, ONE), 'diverged: ok')
  t.same(offsets(leader), [0, 2, 2])
  const checkpoint = await leader.env.disk.open('/data/recovery-point-offset-checkpoint', 'read')
  const bytes = Buffer.alloc(await checkpoint.size())
  await checkpoint.read(bytes, 0)
  await checkpoint.close()
  t.match(bytes.toString(), /orders 0 2\n/, 'the recovery point is not ahead of the log')
  t.equal(await copy(follower, leader, ONE), 'ok')
  t.equal(await copy(follower, leader, ONE), 'ok')
  t.same(offsets(leader), [0, 3, 3])
  host(leader).lead(spec(3, { isr: [ONE] }))
  t.same(await readAll(host(leader)), ['0:a', '1:b', '2:c'])
  t.equal(await produce(host(leader), ['c'], { producer: 7n, sequence: 2 }), 'offset 2', 'a retry')
  t.equal(await produce(host(leader), ['d'], { producer: 7n, sequence: 3 }), 'offset 3')
  await leader.stop()
  await follower.stop()
  const next = await member({ disk: leader.env.disk })
  host(next).lead(spec(4, { isr: [ONE] }))
  t.same(await readAll(host(next)), ['0:a', '1:b', '2:c', '3:d'])
  await next.stop()
})

t.test('while a log is cut nobody is served, and what is told waits', async t => {
  const { leader, follower } = await pair(['a'])
  void produce(host(leader), ['lost'])
  await leader.env.clock.settle()
  host(follower).lead(spec(2))
  follow(leader, 2, TWO)
  const release = leader.env.disk.hold('sync', LOG)
  const cut = copy(follower, leader, ONE)
  await leader.env.clock.settle()
  t.equal(host(leader).replicaPosition(), null)
  t.match(await host(leader).read({ ...READ, offset: 0 as Offset, allowFollower: true }), {
    error: ErrorCode.NOT_LEADER_OR_FOLLOWER,
  })
  host(leader).lead(spec(3, { isr: [ONE] }))
  t.equal(host(leader).role, 'follower')
  t.equal(await produce(host(leader), ['b']), 'NOT_LEADER_OR_FOLLOWER')
  release()
  t.equal(await cut, 'diverged: fenced')
  t.equal(host(leader).role, 'leader')
  t.equal(await produce(host(leader), ['b']), 'offset 1')
  t.same(await readAll(host(leader)), ['0:a', '1:b'])
  await leader.stop()
  await follower.stop()
})

t.test('a crash in the middle of a cut leaves a log that can be followed on', async t => {
  for (let seed = 1; seed <= 30; seed++) {
    const { leader, follower } = await pair(['a', 'b'], { seed })
    for (const value of ['x', 'y', 'z']) void produce(host(leader), [value])
    await leader.env.clock.settle()
    await leader.manager.applyRetention()
    host(follower).lead(spec(2))
    follow(leader, 2, TWO)
    const cut = copy(follower, leader, ONE).catch(() => 'crashed')
    for (let turn = 0; turn < seed * 4; turn++) await Promise.resolve()
    const { disk } = leader.env
    disk.crash({ keep: 'random', random: new SeededRandom(seed) })
    await Promise.race([cut, leader.env.clock.settle()])
    const next = await member({ disk, seed })
    t.same(
      next.env.log.of('error').filter(line => JSON.stringify(line).includes('durable are missing')),
      [],
    )
    follow(next, 2, TWO)
    void produce(host(follower), ['c'])
    await follower.env.clock.settle()
    for (let round = 0; round < 4; round++) await copy(follower, next, ONE)
    host(next).lead(spec(3, { isr: [ONE] }))
    t.same(await readAll(host(next)), ['0:a', '1:b', '2:c'], `seed ${seed}`)
    await next.stop()
    await follower.stop()
  }
})

t.test('what is no batch, or none that follows, is not appended', async t => {
  const life = await member()
  follow(life, 3)
  const send = senderTo(life)
  t.equal(await send(Buffer.concat([batch(['a', 'b'], 0, 2), batch(['c'], 2, 3)])), 'ok')
  t.same(offsets(life), [0, 3, 3])
  const torn = batch(['d'], 3, 3)
  t.equal(await send(torn.subarray(0, -1)), 'corrupt')
  const flipped = Buffer.from(torn)
  flipped[70]! ^= 1
  t.equal(await send(Buffer.concat([torn, flipped])), 'corrupt', 'all or nothing')
  t.equal(await send(batch(['d'], 2, 3)), 'corrupt', 'not from the end on')
  t.equal(await send(batch(['d'], 3, 2)), 'corrupt', 'an epoch that is over')
  t.equal(await send(batch(['d'], 3, 4)), 'corrupt', 'an epoch that is to come')
  t.equal(await send(torn, { epoch: 2 }), 'fenced')
  t.equal(await send(torn, { fetchOffset: 2 }), 'ok', 'an answer out of date is dropped')
  t.same(offsets(life), [0, 3, 3])
  t.equal(await send(batch(['d'], 5, 3)), 'ok', 'a gap that compaction has left')
  t.same(offsets(life), [0, 6, 6])
  await life.stop()
})

t.test('a full disk fails a follower’s append, and leaves it where it was', async t => {
  const { leader, follower } = await pair(['a'])
  void produce(host(leader), ['b'], { producer: 7n, sequence: 1 })
  await leader.env.clock.settle()
  const { disk } = follower.env
  disk.capacityBytes = disk.usedBytes + 20
  t.equal(await copy(leader, follower), 'failed')
  t.same(offsets(follower), [0, 1, 1])
  t.same(follower.fatal, [])
  disk.capacityBytes = Infinity
  t.equal(await copy(leader, follower), 'ok')
  t.equal(await copy(leader, follower), 'ok')
  t.same(offsets(follower), [0, 2, 2])
  await leader.stop()
  await follower.stop()
})

t.test('a failed sync of a follower ends its broker', async t => {
  const { leader, follower } = await pair(['a'])
  void produce(host(leader), ['b'])
  await leader.env.clock.settle()
  follower.env.disk.inject({ operation: 'sync', path: LOG, code: 'IO_ERROR', times: 1 })
  t.equal(await copy(leader, follower), 'failed')
  t.equal(follower.fatal.length, 1)
  await follower.manager.stop(false)
  await leader.stop()
})

t.test('DeleteRecords moves the start of the followers’ logs too, and waits for it', async t => {
  const { leader, follower } = await pair(['a', 'b', 'c'])
  const outcome = host(leader).deleteRecords(2, 1000)
  let answered = false
  void outcome.then(() => {
    answered = true
  })
  await leader.env.clock.settle()
  await copy(leader, follower)
  t.same(offsets(follower), [2, 3, 3])
  t.equal(answered, false, 'the leader learns of it by the next fetch')
  await copy(leader, follower)
  t.match(await outcome, { error: 0, lowWatermark: 2 })
  const late = host(leader).deleteRecords(3, 1000)
  await leader.env.clock.settle()
  await leader.env.clock.advance(1000)
  t.match(await late, { error: ErrorCode.REQUEST_TIMED_OUT })
  const refused = host(leader).deleteRecords(3, 1000)
  await leader.env.clock.settle()
  follow(leader, 2, TWO)
  t.match(await refused, { error: ErrorCode.NOT_LEADER_OR_FOLLOWER })
  await leader.stop()
  await follower.stop()
})

t.test('a new follower of a log that starts later begins there, in the middle of a batch too', async t => {
  const leader = await member()
  host(leader).lead(spec(1, { isr: [ONE] }))
  t.equal(await produce(host(leader), ['a', 'b', 'c']), 'offset 0')
  t.match(await host(leader).deleteRecords(1), { error: 0 })
  const follower = await member({ brokerId: TWO })
  follow(follower, 1, ONE)
  t.equal(await copy(leader, follower), 'OFFSET_OUT_OF_RANGE')
  t.equal(await host(follower).startOver(1 as Offset, 1 as LeaderEpoch), 'ok')
  t.same(offsets(follower), [1, 1, 1])
  t.equal(await copy(leader, follower), 'ok')
  t.equal(await copy(leader, follower), 'ok')
  t.same(offsets(follower), [1, 3, 3])
  host(follower).lead(spec(2, { isr: [TWO] }))
  t.same(await readAll(host(follower)), ['1:b', '2:c'])
  t.equal(await host(follower).startOver(9 as Offset, 1 as LeaderEpoch), 'fenced')
  await leader.stop()
  await follower.stop()
})

t.test(
  'a log that ends inside of a batch starts over with it where nothing of it is offered any more',
  async t => {
    const life = await member()
    follow(life, 3)
    const send = senderTo(life)
    t.equal(await send(batch(['a', 'b'], 0, 3)), 'ok')
    const across = batch(['b', 'c', 'd'], 1, 3)
    t.equal(await send(across, { logStartOffset: 1 }), 'corrupt', 'the leader has offset 1 as well')
    t.equal(await send(batch(['b'], 1, 3), { logStartOffset: 2 }), 'corrupt', 'it does not reach the end')
    const flipped = Buffer.from(across)
    flipped[70]! ^= 1
    t.equal(await send(flipped, { logStartOffset: 2 }), 'corrupt')
    t.same(offsets(life), [0, 2, 2])
    t.equal(await send(across, { logStartOffset: 2 }), 'ok')
    t.same(offsets(life), [2, 4, 4])
    host(life).lead(spec(4, { isr: [ONE] }))
    t.same(await readAll(host(life)), ['2:c', '3:d'])
    await life.stop()
  },
)

t.test('whose registration has run out neither serves nor acknowledges', async t => {
  const life = await member()
  host(life).lead(spec(1, { isr: [ONE] }))
  t.equal(await produce(host(life), ['a']), 'offset 0')
  const release = life.env.disk.hold('sync', LOG)
  const answer = produce(host(life), ['b'])
  await life.env.clock.settle()
  life.servingUntilMs = life.env.clock.monotonicMs()
  release()
  t.equal(await answer, 'NOT_LEADER_OR_FOLLOWER')
  t.equal(await produce(host(life), ['c']), 'NOT_LEADER_OR_FOLLOWER')
  t.match(await host(life).read({ ...READ, offset: 0 as Offset }), {
    error: ErrorCode.NOT_LEADER_OR_FOLLOWER,
  })
  t.match(await host(life).listOffset(-1, 'read_uncommitted', -1), {
    error: ErrorCode.NOT_LEADER_OR_FOLLOWER,
  })
  await life.stop()
})

t.test('an epoch is not led a second time: records of it may have been lost', async t => {
  const disk = crashDisk()
  const life = await member({ disk })
  host(life).lead(spec(5, { isr: [ONE] }))
  t.equal(await produce(host(life), ['a']), 'offset 0')
  disk.crash({ keep: 'none' })
  const next = await member({ disk })
  host(next).lead(spec(5, { isr: [ONE] }))
  t.equal(host(next).role, 'none')
  host(next).lead(spec(6, { isr: [ONE] }))
  t.same(await readAll(host(next)), ['0:a'])
  await next.stop()
})

t.test('a follower keeps to retention up to what is committed', async t => {
  const logConfig = { segmentBytes: 300, retentionBytes: 300 }
  const { leader, follower } = await pair(
    Array.from({ length: 12 }, (_, index) => `value ${index}`),
    { logConfig },
  )
  await follower.manager.applyRetention()
  const { logStartOffset, highWatermark, segments } = host(follower).describe()
  t.ok(logStartOffset > 0 && logStartOffset <= highWatermark)
  t.ok(segments < 12)
  await leader.stop()
  await follower.stop()
})

t.test('with log.flush.before.ack=false a follower has what is written', async t => {
  const { leader, follower } = await pair(['a'], { logConfig: { flushBeforeAck: false } })
  t.same(offsets(follower), [0, 1, 1])
  t.equal(host(follower).describe().durableOffset, 0)
  await leader.stop()
  await follower.stop()
})

t.test('a gap that compaction has left on the leader is not taken for damage after a crash', async t => {
  const life = await member({ logConfig: { segmentBytes: 200 } })
  follow(life, 3)
  const send = (values: readonly string[], baseOffset: number) =>
    host(life).replicate(batch(values, baseOffset, 3), null, {
      epoch: 3 as LeaderEpoch,
      fetchOffset: host(life).describe().logEndOffset,
      highWatermark: 100,
      logStartOffset: 0,
    })
  for (const [value, baseOffset] of [
    ['a', 0],
    ['b', 3],
    ['c', 7],
    ['d', 8],
    ['e', 20],
  ] as const) {
    t.equal(await send([value], baseOffset), 'ok')
  }
  t.ok(host(life).describe().segments > 2, 'some of the gaps are between segments')
  const { disk } = life.env
  disk.crash({ keep: 'none' })
  const next = await member({ disk, logConfig: { segmentBytes: 200 } })
  t.same(next.env.log.of('error'), [])
  host(next).lead(spec(4, { isr: [ONE], replicas: [ONE] }))
  t.same(await readAll(host(next)), ['0:a', '3:b', '7:c', '8:d', '20:e'])
  await next.stop()
})

t.test('a leader that was killed knows the epochs whose records it has compacted away', async t => {
  const logConfig = { cleanupPolicy: ['compact'] as const, segmentBytes: 230 }
  const { leader, follower } = await pair([], { logConfig })
  const write = async (epoch: number, keys: string, isr: readonly BrokerId[]): Promise<void> => {
    host(leader).lead(spec(epoch, { isr }))
    for (const key of keys) {
      const written = new Promise(resolve => host(leader).produce(keyed(key), null, 1, 1000, resolve))
      await leader.env.clock.settle()
      await written
    }
    await leader.env.clock.settle()
  }
  await write(1, 'z', [ONE, TWO])
  await write(2, 'a', [ONE, TWO])
  follow(follower, 2, ONE)
  for (let round = 0; round < 4; round++) await copy(leader, follower)
  t.same(offsets(follower), [0, 2, 2])
  // While the follower is away its leader writes over all of epoch 2. Of each segment (three batches) the last batch
  // stays, were it empty: epoch 2 is not to have one of these.
  await write(3, 'ababab', [ONE])
  await leader.manager.compact()
  t.same(await readAll(host(leader)), ['0:z', '4:a', '5:b', '6:a', '7:b'])
  const { disk } = leader.env
  disk.crash({ keep: 'none' })

  const next = await member({ disk, logConfig })
  host(next).lead(spec(4, { isr: [ONE] }))
  t.match(host(next).offsetForLeaderEpoch(-1, 2), { leaderEpoch: 2, endOffset: 2 })
  follow(follower, 4, ONE)
  for (let round = 0; round < 4; round++) {
    t.equal(await copy(next, follower), 'ok', 'their logs have not parted')
    t.ok(offsets(follower)[1]! >= 2, 'what was committed stays')
  }
  t.same(offsets(follower), [0, 8, 8])
  await next.stop()
  await follower.stop()
})

function keyed(key: string): Buffer {
  return encodeBatch([{ key, value: key, timestamp: 1_700_000_000_000 }])
}
