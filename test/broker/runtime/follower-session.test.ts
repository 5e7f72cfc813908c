/**
 * What a follower says to a leader within one fetch session: whatever becomes of a partition here, the leader must not
 * go on to read what nobody follows.
 */
import t from 'tap'
import {
  type FollowedHost,
  FollowedPartition,
  FollowerSession,
} from '../../../broker/runtime/follower-session.ts'
import { type ReplicaPosition } from '../../../broker/runtime/partition-types.ts'
import { type LeaderEpoch, type Offset, type TopicId } from '../../../client/protocol/types.ts'

const ORDERS = 'a'.repeat(32) as TopicId

class Host {
  readonly topicId = ORDERS
  readonly topicName = 'orders'
  readonly partition: number
  position: ReplicaPosition | null

  constructor(partition: number, leaderEpoch: number) {
    this.partition = partition
    this.position = {
      fetchOffset: 10 as Offset,
      lastFetchedEpoch: leaderEpoch,
      logStartOffset: 0 as Offset,
      leaderEpoch: leaderEpoch as LeaderEpoch,
    }
  }

  replicaPosition(): ReplicaPosition | null {
    return this.position
  }

  of(leaderEpoch: number): FollowedPartition {
    return new FollowedPartition(this as unknown as FollowedHost, leaderEpoch as LeaderEpoch)
  }
}

function ask(session: FollowerSession): { asked: number[]; forgotten: number[] } {
  const cannot = (partition: FollowedPartition): void => {
    partition.phase = 'waiting'
  }
  const part = session.next({ maxBytes: 1000, onlyNews: false, cannot })
  const [topic] = part?.topics ?? []
  const [left] = part?.forgottenTopicsData ?? []
  return {
    asked: (topic?.partitions ?? []).map(({ partition }) => partition),
    forgotten: [...(left?.partitions ?? [])],
  }
}

function begun(): { session: FollowerSession; first: Host; second: Host } {
  const session = new FollowerSession()
  const [first, second] = [new Host(0, 1), new Host(1, 1)]
  session.add(first.of(1))
  session.add(second.of(1))
  t.same(ask(session), { asked: [0, 1], forgotten: [] })
  session.opened(7)
  return { session, first, second }
}

t.test('a partition of a new epoch takes the place of what the leader has of it', async t => {
  const { session, first } = begun()
  first.position = { ...first.position!, leaderEpoch: 2 as LeaderEpoch }
  session.add(first.of(2))
  t.same(ask(session), { asked: [0], forgotten: [] })
})

t.test('one that was replaced, and cannot be asked for, is forgotten by the leader', async t => {
  const { session, first } = begun()
  first.position = null
  session.add(first.of(2))
  t.same(ask(session), { asked: [], forgotten: [0] })
  t.same(ask(session), { asked: [], forgotten: [] })
})

t.test('one that was replaced, and removed before it was asked for, is forgotten by the leader', async t => {
  const { session, first } = begun()
  session.add(first.of(2))
  session.remove(ORDERS, 0)
  t.same(ask(session), { asked: [], forgotten: [0] })
})
