import t from 'tap'
import { ManualClock } from '../../../broker/env-memory/clock.ts'
import { SeededRandom } from '../../../broker/env-memory/random.ts'
import { FetchSessions, type SessionRequest } from '../../../broker/runtime/fetch-sessions.ts'
import { ErrorCode, errorName } from '../../../client/protocol/errors.ts'
import { type BrokerId, type TopicId, ZERO_TOPIC_ID } from '../../../client/protocol/types.ts'

function make(slots = 2) {
  const clock = new ManualClock()
  return { clock, sessions: new FetchSessions({ clock, random: new SeededRandom(1), slots: () => slots }) }
}

function request(
  sessionId: number,
  sessionEpoch: number,
  partitions: readonly number[] = [],
  forget: readonly number[] = [],
): SessionRequest {
  const topic = { topic: 'a', topicId: ZERO_TOPIC_ID as TopicId }
  const asked = partitions.map(partition => ({
    partition,
    fetchOffset: 0,
    partitionMaxBytes: 1,
    currentLeaderEpoch: -1,
    lastFetchedEpoch: -1,
  }))
  return {
    sessionId,
    sessionEpoch,
    topics: asked.length === 0 ? [] : [{ ...topic, partitions: asked }],
    forgottenTopicsData: forget.length === 0 ? [] : [{ ...topic, partitions: forget }],
  }
}

/** Begins a full fetch and makes a session of it; its id, or 0. */
function open(sessions: FetchSessions, partitions: readonly number[]): number {
  const plan = sessions.begin(request(0, 0, partitions), false)
  if (plan.kind !== 'full') throw new Error(plan.kind)
  return sessions.create(plan.positions, false)?.id ?? 0
}

/** The partitions of the next incremental fetch, in order; or the error. */
function next(
  sessions: FetchSessions,
  id: number,
  epoch: number,
  more: number[] = [],
  forget: number[] = [],
  replica: number | null = null,
): unknown {
  const plan = sessions.begin(request(id, epoch, more, forget), false, replica as BrokerId | null)
  return plan.kind === 'refused' ? errorName(plan.error) : plan.positions.map(position => position.partition)
}

t.test('a session remembers its partitions, takes more and forgets some', t => {
  const { sessions } = make()
  const id = open(sessions, [0, 1])
  t.same(next(sessions, id, 1), [0, 1])
  t.same(next(sessions, id, 2, [2]), [0, 1, 2])
  t.same(next(sessions, id, 3, [], [0, 9]), [1, 2])
  t.same(next(sessions, id, 3), 'INVALID_FETCH_SESSION_EPOCH')
  t.same(next(sessions, id, 4), [1, 2], 'a refused request changes nothing')
  t.end()
})

t.test('a session without partitions ends', t => {
  const { sessions } = make()
  const id = open(sessions, [0])
  t.same(next(sessions, id, 1, [], [0]), [])
  t.same(next(sessions, id, 2), 'FETCH_SESSION_ID_NOT_FOUND')
  t.equal(sessions.size, 0)
  t.end()
})

t.test('epoch 0 with an id begins anew, and the old session is gone', t => {
  const { sessions } = make()
  const id = open(sessions, [0])
  t.equal(sessions.begin(request(id, 0, [1]), false).kind, 'full')
  t.same(next(sessions, id, 1), 'FETCH_SESSION_ID_NOT_FOUND')
  t.end()
})

t.test('the order rotates only where asked', t => {
  const { sessions } = make()
  const id = open(sessions, [0, 1, 2])
  const plan = sessions.begin(request(id, 1), false)
  if (plan.kind !== 'incremental') return t.fail('it is incremental')
  plan.session.rotate(plan.positions[0]!)
  t.same(next(sessions, id, 2), [1, 2, 0])
  return t.end()
})

t.test('when it is full, only what is unused or old and smaller makes room', async t => {
  const { clock, sessions } = make(2)
  const small = open(sessions, [0])
  const large = open(sessions, [0, 1, 2])
  t.equal(open(sessions, [0, 1]), 0, 'both are young')
  await clock.advance(60_000)
  t.same(next(sessions, small, 1), [0])
  t.same(next(sessions, large, 1), [0, 1, 2])
  await clock.advance(60_001)
  t.same(next(sessions, small, 2), [0])
  t.same(next(sessions, large, 2), [0, 1, 2])
  t.equal(open(sessions, [0]), 0, 'none is smaller')
  t.not(open(sessions, [0, 1]), 0)
  t.same(next(sessions, small, 3), 'FETCH_SESSION_ID_NOT_FOUND')
  await clock.advance(121_000)
  t.not(open(sessions, [0]), 0, 'the others were not used for two minutes')
  t.same(next(sessions, large, 3), 'FETCH_SESSION_ID_NOT_FOUND')
})

t.test(
  'the next request of a session ends the wait of the one before, and sees what it was told',
  async t => {
    const { sessions } = make()
    const id = open(sessions, [1])
    const plan = sessions.begin(request(id, 1), false)
    if (plan.kind !== 'incremental') throw new Error(plan.kind)
    const seen: number[] = []
    plan.session.endWait = () => seen.push(plan.session.size)
    sessions.begin(request(id, 3), false)
    t.same(seen, [], 'not one that is refused')
    sessions.begin(request(id, 2, [2]), false)
    t.same(seen, [1], 'answered before the new partitions are in')
  },
)

t.test('a follower has room before consumers, and what it may have missed is said again', async t => {
  const { sessions } = make(2)
  const consumers = [open(sessions, [1, 2, 3]), open(sessions, [1])]
  const full = sessions.begin(request(0, 0, [1]), false)
  if (full.kind !== 'full') throw new Error(full.kind)
  const follower = sessions.create(full.positions, false, 2 as BrokerId)
  t.ok(follower !== null)
  t.same(next(sessions, consumers[1]!, 1), 'FETCH_SESSION_ID_NOT_FOUND', 'the smallest has made room')
  t.equal(open(sessions, [1, 2, 3, 4]), 0, 'and no consumer takes its place')

  const [position] = follower!.positions()
  position!.sentHighWatermark = 7
  sessions.begin(request(follower!.id, 1), false, 2 as BrokerId)
  t.equal(position!.sentHighWatermark, 7)
  sessions.begin(request(follower!.id, 2, [1]), false, 2 as BrokerId)
  t.equal(position!.sentHighWatermark, -1)
})

t.test(
  'nobody goes on with the session of a follower but itself, nor a follower with that of a consumer',
  async t => {
    const { sessions } = make(2)
    const consumers = open(sessions, [1])
    const full = sessions.begin(request(0, 0, [1]), false, 2 as BrokerId)
    if (full.kind !== 'full') throw new Error(full.kind)
    const followers = sessions.create(full.positions, false, 2 as BrokerId)!.id
    const notFound = { kind: 'refused', error: ErrorCode.FETCH_SESSION_ID_NOT_FOUND }
    t.same(sessions.begin(request(followers, 1), false), notFound)
    t.same(sessions.begin(request(followers, 1), false, 3 as BrokerId), notFound)
    t.same(sessions.begin(request(consumers, 1), false, 2 as BrokerId), notFound)
    t.equal(
      sessions.begin(request(followers, 1), false, 2 as BrokerId).kind,
      'incremental',
      'which is as it was',
    )
    t.equal(sessions.begin(request(consumers, 1), false).kind, 'incremental')
  },
)

t.test('a new session of a follower takes the place of its former one', t => {
  const { sessions } = make(3)
  const begin = (replica: number) => {
    const full = sessions.begin(request(0, 0, [1]), false)
    if (full.kind !== 'full') throw new Error(full.kind)
    return sessions.create(full.positions, false, replica as BrokerId)!.id
  }
  const [former, other] = [begin(2), begin(3)]
  const now = begin(2)
  t.same(next(sessions, former, 1, [], [], 2), 'FETCH_SESSION_ID_NOT_FOUND')
  t.same(next(sessions, other, 1, [], [], 3), [1])
  t.same(next(sessions, now, 1, [], [], 2), [1])
  t.end()
})
