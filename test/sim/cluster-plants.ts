/**
 * Planted bugs of replication, of elections and of coordinators that move: known ones of brokers like this one, by
 * their number in the list of reliability. Each changes methods from the outside while it stands; no line of the broker
 * knows of them.
 */
import { ClusterBrokers } from '../../broker/controller/image-brokers.ts'
import { GroupShard } from '../../broker/group/group-shard.ts'
import { OffsetStore } from '../../broker/group/offset-store.ts'
import { LeaderEpochCache } from '../../broker/log/leader-epochs.ts'
import { InSyncReplicas } from '../../broker/replica/in-sync-replicas.ts'
import { Replica } from '../../broker/replica/replica.ts'
import { ClusterMetadata } from '../../broker/runtime/cluster-metadata.ts'
import { FetchSession } from '../../broker/runtime/fetch-sessions.ts'
import { Membership } from '../../broker/runtime/membership.ts'
import { PartitionHost } from '../../broker/runtime/partition-host.ts'
import { ReplicaFetchers } from '../../broker/runtime/replica-fetchers.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type BrokerId, type Offset } from '../../client/protocol/types.ts'
import { type Plant, replace, replaceGetter } from './gardening.ts'

export const CLUSTER_PLANTS: readonly Plant[] = [
  {
    // KIP-101: a follower cuts its log at its own high watermark, which lags behind what is committed.
    name: '1-truncation-to-high-watermark',
    plant: () =>
      replace(
        PartitionHost.prototype,
        'follow',
        original =>
          function (this: PartitionHost, spec) {
            const isNews = spec.epoch > this.leaderEpoch
            original.call(this, spec)
            if (!isNews || this.role !== 'follower' || this.highWatermark >= this.state.logEndOffset) return
            void this.diverged(this.state.epochs.latestEpoch, this.highWatermark, spec.epoch)
          },
      ),
  },
  {
    // KIP-279: the leader answers with an offset and leaves out of which epoch it speaks.
    name: '2-divergence-after-fast-failover',
    plant: () =>
      replace(
        LeaderEpochCache.prototype,
        'endOffsetFor',
        original =>
          function (this: LeaderEpochCache, epoch, logEndOffset) {
            const found = original.call(this, epoch, logEndOffset)
            return found === null ? { epoch, endOffset: logEndOffset } : { ...found, epoch }
          },
      ),
  },
  {
    // KIP-320: whoever fetches is not asked which epochs he knows.
    name: '3-fetch-without-epoch-check',
    plant: () => {
      const undo = [
        replace(
          PartitionHost.prototype,
          'replicaFetched',
          original =>
            function (this: PartitionHost, fetch) {
              return original.call(this, { ...fetch, leaderEpoch: this.leaderEpoch, lastFetchedEpoch: -1 })
            },
        ),
        replace(
          PartitionHost.prototype,
          'readForReplica',
          original =>
            function (this: PartitionHost, request) {
              return original.call(this, { ...request, currentLeaderEpoch: -1, lastFetchedEpoch: -1 })
            },
        ),
      ]
      return () => undo.forEach(each => void each())
    },
  },
  { name: '4-high-watermark-of-the-old-isr', plant: countTheOldIsr },
  {
    // A follower joins that lacks what the leader before may have committed.
    name: '5-admission-below-the-epochs-start',
    plant: () =>
      replace(
        InSyncReplicas.prototype,
        'expansion',
        original =>
          function (this: InSyncReplicas, broker, offsets) {
            return original.call(this, broker, {
              ...offsets,
              epochStartOffset: 0 as Offset,
              highWatermark: 0 as Offset,
            })
          },
      ),
  },
  {
    // What was known of a follower outlives its being taken away and given back.
    name: '6-stale-follower-state',
    plant: () => {
      const undo = [
        replace(
          InSyncReplicas.prototype,
          'begin',
          original =>
            function (this: InSyncReplicas, replicas, nowMs) {
              // It has led before: it goes on with what it knows, in the new epoch too.
              if (this.isr.length === 0) original.call(this, replicas, nowMs)
              else this.update({ ...replicas, partitionEpoch: 0 }, nowMs)
            },
        ),
        replace(InSyncReplicas.prototype, 'end', () => () => {}),
      ]
      return () => undo.forEach(each => void each())
    },
  },
  {
    // KIP-903: a broker that comes back quickly is taken for the one that it was.
    name: '7-fast-reboot',
    plant: () => {
      const undo = [
        replace(
          ClusterBrokers.prototype,
          'state',
          original =>
            function (this: ClusterBrokers, broker) {
              const state = original.call(this, broker)
              const registered = this.get(broker)
              if (state === undefined || state.fenced || registered === undefined) return state
              return { ...state, brokerEpoch: registered.brokerEpoch }
            },
        ),
        replace(
          ClusterBrokers.prototype,
          'isUnfenced',
          () =>
            function (this: ClusterBrokers, broker) {
              return this.get(broker) !== undefined && this.state(broker)?.fenced === false
            },
        ),
        replace(
          PartitionHost.prototype,
          'lead',
          original =>
            function (this: PartitionHost, spec) {
              // The safety net below is taken away, too.
              if (this.role === 'none') this.follow({ epoch: spec.epoch, leader: -1 })
              original.call(this, spec)
            },
        ),
      ]
      return () => undo.forEach(each => void each())
    },
  },
  { name: '8-zombie-leader', plant: leadOnAfterTheSession },
  {
    // KAFKA-9307: what failed in the first attempt to follow is not tried again in the same epoch.
    name: '9-follower-of-the-same-epoch-ignored',
    plant: () => {
      const told = new WeakMap<ReplicaFetchers, Map<string, number>>()
      let count = 0
      return replace(
        ReplicaFetchers.prototype,
        'assign',
        original =>
          function (this: ReplicaFetchers, host, leader, epoch) {
            let epochs = told.get(this)
            if (epochs === undefined) told.set(this, (epochs = new Map()))
            const key = `${host.topicId}/${host.partition}`
            if (epochs.get(key) === epoch) return
            epochs.set(key, epoch)
            if (++count % 20 !== 0) original.call(this, host, leader, epoch)
          },
      )
    },
  },
  {
    // KIP-966: the last replica in sync leads again, whatever it has lost.
    name: '10-last-replica-standing',
    plant: () =>
      replace(
        ClusterBrokers.prototype,
        'registered',
        original =>
          function (this: ClusterBrokers) {
            return original
              .call(this)
              .map(each => ({ ...each, cleanEpoch: this.state(each.broker)?.brokerEpoch ?? -1 }))
          },
      ),
  },
  {
    // The broker's memory of what a session reads parts from the client's.
    name: '15-fetch-session-divergence',
    plant: () =>
      replace(
        FetchSession.prototype,
        'update',
        original =>
          function (this: FetchSession, request) {
            original.call(this, { ...request, forgottenTopicsData: [], topics: request.topics.slice(0, 1) })
          },
      ),
  },
  {
    // Whoever coordinated answers on, though another broker may lead by now.
    name: '16-old-coordinator-answers',
    plant: () =>
      replace(
        PartitionHost.prototype,
        'checkLeader',
        original =>
          function (this: PartitionHost, epoch) {
            const error = original.call(this, epoch)
            const isOwn = this.topicName === '__consumer_offsets' && this.role === 'leader'
            return isOwn && error === ErrorCode.NOT_LEADER_OR_FOLLOWER ? ErrorCode.NONE : error
          },
      ),
  },
  {
    // The record that a tombstone is about was compacted away before: loading must not stumble over it.
    name: '17-tombstone-fails-the-load',
    plant: () =>
      replace(
        OffsetStore.prototype,
        'apply',
        original =>
          function (this: OffsetStore, record) {
            const { group, topic, partition } = record.key
            if (record.value === null && this.get(group, topic, partition) === undefined)
              throw new Error(`there is no offset of ${group} to delete`)
            original.call(this, record)
          },
      ),
  },
  {
    // A static member that comes back is taken for another one.
    name: '20-duplicate-static-member',
    plant: () => {
      let count = 0
      return replace(
        GroupShard.prototype,
        'decide',
        original =>
          function (this: GroupShard, command, nowMs) {
            if (command.kind !== 'join-group' || command.request.groupInstanceId === null)
              return original.call(this, command, nowMs)
            if (command.request.memberId !== '') return original.call(this, command, nowMs)
            const groupInstanceId = `${command.request.groupInstanceId}/${++count}`
            const request = { ...command.request, groupInstanceId }
            return original.call(this, { ...command, request }, nowMs)
          },
      )
    },
  },
  {
    // A new leader tells its high watermark before it knows how far the one before had committed.
    name: '22-high-watermark-too-early',
    plant: () => replaceGetter(Replica.prototype, 'epochStartOffset', () => 0 as Offset),
  },
  {
    // What a controller writes is bound neither to its term nor to what it has seen.
    name: '23-controller-after-its-term',
    plant: () =>
      replace(
        ClusterMetadata.prototype,
        'perform',
        original =>
          function (this: ClusterMetadata, step) {
            const isControllers = step.conditions.some(({ type }) => type === 'controller-term')
            return original.call(this, isControllers ? { ...step, conditions: [] } : step)
          },
      ),
  },
]

/** While an expansion is under way, the high watermark waits for the former members alone. */
function countTheOldIsr(): () => void {
  const ends = new WeakMap<InSyncReplicas, Map<BrokerId, Offset>>()
  const endsOf = (of: InSyncReplicas): Map<BrokerId, Offset> => {
    let known = ends.get(of)
    if (known === undefined) ends.set(of, (known = new Map()))
    return known
  }
  const undo = [
    replace(
      InSyncReplicas.prototype,
      'begin',
      original =>
        function (this: InSyncReplicas, replicas, nowMs) {
          endsOf(this).clear()
          original.call(this, replicas, nowMs)
        },
    ),
    replace(
      InSyncReplicas.prototype,
      'fetched',
      original =>
        function (this: InSyncReplicas, event, endOffset, nowMs) {
          const counts = original.call(this, event, endOffset, nowMs)
          if (counts) endsOf(this).set(event.replica, event.fetchOffset)
          return counts
        },
    ),
    replace(
      InSyncReplicas.prototype,
      'committedOffset',
      () =>
        function (this: InSyncReplicas, ownOffset) {
          const others = this.isr.map(broker => endsOf(this).get(broker)).filter(end => end !== undefined)
          // The leader itself is never among those that fetch.
          const known = others.length >= this.isr.length - 1 ? others : [0 as Offset]
          return Math.min(ownOffset, ...known) as Offset
        },
    ),
  ]
  return () => undo.forEach(each => void each())
}

/** KAFKA-2729: it leads on without its session, and believes in the ISR that it would like to have. */
function leadOnAfterTheSession(): () => void {
  const known = new WeakMap<InSyncReplicas, Parameters<InSyncReplicas['begin']>[0]>()
  const learn = (of: InSyncReplicas, replicas: Parameters<InSyncReplicas['begin']>[0]): void =>
    void known.set(of, replicas)
  const undo = [
    replace(Membership.prototype, 'servingUntilMs', () => () => Number.POSITIVE_INFINITY),
    replace(
      InSyncReplicas.prototype,
      'begin',
      original =>
        function (this: InSyncReplicas, replicas, nowMs) {
          learn(this, replicas)
          original.call(this, replicas, nowMs)
        },
    ),
    replace(
      InSyncReplicas.prototype,
      'update',
      original =>
        function (this: InSyncReplicas, replicas, nowMs) {
          const isNews = original.call(this, replicas, nowMs)
          if (isNews) learn(this, replicas)
          return isNews
        },
    ),
    replace(
      InSyncReplicas.prototype,
      'shrinkage',
      original =>
        function (this: InSyncReplicas, endOffset, lagTimeMaxMs, nowMs) {
          const shrunk = original.call(this, endOffset, lagTimeMaxMs, nowMs)
          const before = known.get(this)
          if (shrunk === null || before === undefined) return shrunk
          const isr = shrunk.map(({ broker }) => broker)
          this.update({ ...before, isr, revision: before.revision + 0.001 }, nowMs)
          return null
        },
    ),
  ]
  return () => undo.forEach(each => void each())
}
