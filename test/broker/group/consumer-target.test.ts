/**
 * When a target is computed: at once in small groups, and once for many who join a large one at the same time.
 */
import t from 'tap'
import { type GroupAnswers } from '../../../broker/group/types.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { Consumer, type ConsumerOptions, heartbeatCommand } from './consumers.ts'
import { TestShell, topicId } from './shell.ts'

type Answer = GroupAnswers['consumer-group-heartbeat']

function paced(): TestShell {
  const shell = new TestShell({ consumerAssignmentIntervalMs: 100 })
  shell.topics.set('t', 6)
  return shell
}

/** Sends the member's next heartbeat; the answers land in the list when they come. */
function beat(shell: TestShell, consumer: Consumer, changes: ConsumerOptions = {}): Answer[] {
  const answers: Answer[] = []
  shell.send(consumer.command(changes), ({ answer }) => {
    answers.push(answer as Answer)
    consumer.take(answer as Answer)
  })
  return answers
}

function targets(shell: TestShell): number {
  return shell.log.filter(({ type }) => type === 'consumer-group-target').length
}

t.test('without an interval every member that joins a small group is answered at once', async t => {
  const shell = new TestShell()
  shell.topics.set('t', 6)
  for (let index = 0; index < 3; index++) t.equal(new Consumer(shell).beat().errorCode, ErrorCode.NONE)
  t.equal(targets(shell), 3)
})

t.test('who joins within the interval is answered together with the others, when it is over', async t => {
  const shell = paced()
  const first = new Consumer(shell)
  t.equal(beat(shell, first).length, 1, 'there was no target before')
  t.equal(first.owned.size, 6)
  const later = [new Consumer(shell), new Consumer(shell)]
  const answers = later.map(consumer => beat(shell, consumer))
  shell.advance(99)
  t.same(answers, [[], []])
  t.equal(beat(shell, first).length, 1, 'who wants nothing new is answered at once')
  t.equal(first.owned.size, 6)
  shell.advance(1)
  t.same(
    answers.map(([answer]) => answer?.memberEpoch),
    [3, 3],
  )
  t.equal(targets(shell), 2)
  for (let round = 0; round < 3; round++) for (const consumer of [first, ...later]) consumer.beat()
  t.same(
    [first, ...later].map(consumer => consumer.owned.size),
    [2, 2, 2],
  )
})

t.test(
  'who wants to read something else within the interval learns with the answer what it is given',
  async t => {
    const shell = paced()
    shell.topics.set('u', 2)
    const consumer = new Consumer(shell)
    beat(shell, consumer)
    const answers = beat(shell, consumer, { topics: ['u'] })
    t.same(answers, [])
    shell.advance(100)
    t.equal(answers.length, 1)
    beat(shell, consumer, { topics: ['u'] })
    t.same(consumer.partitionsOf('u'), [0, 1])
    t.same(consumer.partitionsOf('t'), [])
  },
)

t.test('a member that leaves while it waits is told that it is none any more', async t => {
  const shell = paced()
  beat(shell, new Consumer(shell))
  const consumer = new Consumer(shell)
  const answers = beat(shell, consumer)
  t.equal(consumer.leave().errorCode, ErrorCode.NONE)
  t.equal(answers[0]?.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
  shell.advance(1000)
  t.equal(answers.length, 1)
})

t.test('of two joins of one member that wait the older one is refused', async t => {
  const shell = paced()
  beat(shell, new Consumer(shell))
  const consumer = new Consumer(shell)
  const older = beat(shell, consumer)
  const newer = beat(shell, consumer)
  t.equal(older[0]?.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
  shell.advance(100)
  t.equal(newer[0]?.errorCode, ErrorCode.NONE)
  t.ok(consumer.owned.size < 6)
})

t.test('a static member whose place is taken while it waits is told so', async t => {
  const shell = paced()
  beat(shell, new Consumer(shell))
  const gone = new Consumer(shell, { instanceId: 'i', topics: ['t'] })
  const answers = beat(shell, gone)
  gone.leave(-2)
  beat(shell, new Consumer(shell, { instanceId: 'i', topics: ['t'] }))
  t.equal(answers[0]?.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
})

t.test('after a crash nobody waits for ever: the next heartbeat brings the target', async t => {
  const shell = paced()
  const first = new Consumer(shell)
  beat(shell, first)
  const consumer = new Consumer(shell)
  t.same(beat(shell, consumer), [])
  shell.crash()
  shell.advance(100)
  t.equal(beat(shell, consumer).length, 1)
  for (let round = 0; round < 3; round++) for (const member of [first, consumer]) beat(shell, member)
  t.equal(consumer.owned.size, 3)
})

t.test('a clock that is set back holds nobody up for longer', async t => {
  const shell = paced()
  beat(shell, new Consumer(shell))
  shell.nowMs -= 50
  const answers = beat(shell, new Consumer(shell))
  t.same(answers, [])
  shell.advance(50)
  shell.advance(100)
  t.equal(answers.length, 1)
})

for (const assignor of ['uniform', 'range']) {
  t.test(`${assignor}: thousands who join at once cost a few targets, and get the same share`, async t => {
    const shell = new TestShell()
    shell.topics.set('t', 3000)
    const shares: number[] = []
    let mostAtOnce = 0
    const decide = shell.shard.decide.bind(shell.shard)
    shell.shard.decide = (command, nowMs) => {
      const decision = decide(command, nowMs)
      mostAtOnce = Math.max(mostAtOnce, decision.replies.length)
      return decision
    }
    for (let index = 0; index < 3000; index++) {
      const options = { memberId: `m${index}`, memberEpoch: 0, topics: ['t'], assignor, owned: [] }
      shell.send(heartbeatCommand({ ...options, rebalanceTimeoutMs: 30_000 }), ({ answer }) => {
        t.equal((answer as Answer).errorCode, ErrorCode.NONE)
        shares.push(index)
      })
      if (index % 10 === 0) shell.advance(1)
    }
    shell.advance(1000)
    t.equal(shares.length, 3000, 'all are answered')
    t.ok(mostAtOnce <= 201, `${mostAtOnce} answers at once: others have their turn between`)
    t.ok(targets(shell) < 20, `${targets(shell)} targets`)
    const group = shell.ask<'consumer-group-describe'>({
      kind: 'consumer-group-describe',
      groupIds: ['g'],
    })[0]
    for (const { targetAssignment } of group?.members ?? []) {
      t.equal(targetAssignment.topicPartitions[0]?.topicId, topicId('t'))
      t.equal(targetAssignment.topicPartitions[0]?.partitions.length, 1)
    }
  })
}
