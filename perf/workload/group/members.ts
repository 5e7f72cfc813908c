/**
 * The members that the workloads of groups put into a group. A reader is a consumer as an application has it. A light
 * member is our client's membership alone, on a connection of its own: it joins, deals out where it is the leader,
 * sends heartbeats and leaves, and reads nothing, so that a thousand of them fit into one process and what is measured
 * is the coordinator.
 */
import { performance } from 'node:perf_hooks'
import { Cluster } from '../../../client/cluster.ts'
import { resolveConfig } from '../../../client/config.ts'
import { Member } from '../../../client/consumer/group/member.ts'
import { Subscription } from '../../../client/consumer/group/subscription.ts'
import { resolveConsumerOptions } from '../../../client/consumer/options.ts'
import type { AssignorName, ConsumerOptions } from '../../../client/consumer/types.ts'
import { Coordinator } from '../../../client/coordinator.ts'
import { nodeEnv } from '../../../client/env-node.ts'
import type { Consumer, Kafka } from '../../../client/index.ts'
import { API } from '../../../client/protocol/apis.ts'
import type { Recorder } from '../recorder.ts'
import type { GroupOptions } from '../types.ts'
import type { GroupObserver } from './observer.ts'

/** Topics are named by id from the next version on. */
const COMMIT_VERSION = 9
const COMMIT_TIMEOUT_MS = 30_000
const READER_BUFFER_BYTES = 4 * 1024 * 1024
const READER_COMMIT_MS = 1000
const READER_WAIT_MS = 100

export interface GroupMember {
  /** Begins to join. */
  start(): Promise<void>
  /** Leaves in good order. Rejects never. */
  close(): Promise<void>
}

export interface MemberHost {
  readonly topic: string
  readonly observer: GroupObserver
  readonly onError: (error: Error) => void
}

function consumerOptions(group: GroupOptions): ConsumerOptions {
  const { groupId, protocol, assignor, heartbeatIntervalMs, sessionTimeoutMs } = group
  return {
    groupId,
    protocol,
    ...(protocol === 'classic' && assignor !== null ? { assignors: [assignor as AssignorName] } : {}),
    ...(protocol === 'consumer' && assignor !== null ? { serverAssignor: assignor } : {}),
    heartbeatIntervalMs,
    sessionTimeoutMs,
  }
}

const numbers = (places: readonly { readonly partition: number }[]): number[] =>
  places.map(({ partition }) => partition)

/** Each value carries the time at which it was due. */
export class Reader implements GroupMember {
  private readonly host: MemberHost
  private readonly consumer: Consumer
  private reading: Promise<void> = Promise.resolve()

  constructor(kafka: Kafka, group: GroupOptions, recorder: Recorder, id: number, host: MemberHost) {
    this.host = host
    const { observer } = host
    this.consumer = kafka.consumer({
      ...consumerOptions(group),
      maxBytes: READER_BUFFER_BYTES,
      fetchMaxWaitMs: READER_WAIT_MS,
      autoCommitIntervalMs: READER_COMMIT_MS,
      stalledAfterMs: 0,
    })
    this.consumer.on('joined', () => observer.joined(id, performance.now()))
    this.consumer.on('assigned', places => observer.assigned(id, numbers(places), performance.now()))
    this.consumer.on('revoked', places => observer.revoked(id, numbers(places), performance.now()))
    this.consumer.on('lost', places => observer.revoked(id, numbers(places), performance.now()))
    this.handle = batch => {
      const now = performance.now()
      for (const { valueBytes } of batch) {
        if (valueBytes === null) continue
        recorder.latency(now - valueBytes.readDoubleBE(0), 1)
        recorder.add(1, valueBytes.length)
      }
      observer.read(id, batch.partition, batch.firstOffset, batch.lastOffset + 1, now)
    }
  }

  private readonly handle: NonNullable<Parameters<Consumer['run']>[0]['eachBatch']>

  async start(): Promise<void> {
    const { topic, onError } = this.host
    await this.consumer.subscribe({ topics: [topic], from: 'committed' })
    this.reading = this.consumer.run({ eachBatch: this.handle }).catch(onError)
  }

  async close(): Promise<void> {
    await this.consumer.close().catch(this.host.onError)
    await this.reading
  }
}

/** What light members share: the knowledge of the cluster, and who coordinates the group. */
export class LightGroup {
  readonly cluster: Cluster
  readonly coordinator: Coordinator
  readonly group: GroupOptions

  constructor(brokers: string, group: GroupOptions) {
    this.cluster = new Cluster(resolveConfig({ brokers, clientId: 'sluice-bench' }), nodeEnv)
    this.coordinator = new Coordinator(this.cluster, group.groupId)
    this.group = group
  }

  close(): void {
    this.cluster.close()
  }
}

export class LightMember implements GroupMember {
  private readonly light: LightGroup
  private readonly host: MemberHost
  private readonly member: Member
  private readonly commitLane: string
  readonly owned = new Set<number>()

  constructor(light: LightGroup, id: number, host: MemberHost) {
    this.light = light
    this.host = host
    const { observer } = host
    const { cluster, coordinator, group } = light
    const config = resolveConsumerOptions(consumerOptions(group)).group
    if (config === null) throw new Error('A member needs a group.')
    const subscription = new Subscription(cluster)
    subscription.add({ topics: [host.topic] })
    this.commitLane = `commit-${id}`
    const released = (places: readonly { readonly partition: number }[]): void => {
      for (const { partition } of places) this.owned.delete(partition)
      observer.revoked(id, numbers(places), performance.now())
    }
    this.member = new Member({
      cluster,
      coordinator,
      group: config,
      rack: '',
      subscription,
      lane: `member-${id}`,
      commitLane: this.commitLane,
      onJoined: () => observer.joined(id, performance.now()),
      onAssign: places => {
        for (const { partition } of places) this.owned.add(partition)
        observer.assigned(id, numbers(places), performance.now())
      },
      onRevoke: places => {
        released(places)
        return Promise.resolve()
      },
      onLose: released,
      onCommit: () => Promise.resolve(),
      onRetry: () => undefined,
      onCrash: host.onError,
    })
  }

  async start(): Promise<void> {
    // Partitions are named by the topic's id in the newer protocol: it has to be known.
    await this.light.cluster.topic(this.host.topic)
    this.member.start()
  }

  async close(): Promise<void> {
    await this.member.leave()
    this.light.cluster.closeLane(this.commitLane)
  }

  /** Commits this offset for all partitions that it has, in one request. Resolves to those that were taken. */
  async commit(offset: number): Promise<number[]> {
    const { identity } = this.member
    const partitions = [...this.owned]
    if (identity === null || partitions.length === 0) return []
    const connection = await this.light.coordinator.connection(this.commitLane)
    const response = await connection.request(
      API.OffsetCommit,
      {
        groupId: this.light.group.groupId,
        generationIdOrMemberEpoch: identity.generation,
        memberId: identity.memberId,
        topics: [
          {
            name: this.host.topic,
            partitions: partitions.map(partitionIndex => ({
              partitionIndex,
              committedOffset: offset,
              committedLeaderEpoch: -1,
              committedMetadata: '',
            })),
          },
        ],
      },
      { maxVersion: COMMIT_VERSION, timeoutMs: COMMIT_TIMEOUT_MS },
    )
    return response.topics.flatMap(({ partitions: outcomes }) =>
      outcomes.filter(({ errorCode }) => errorCode === 0).map(({ partitionIndex }) => partitionIndex),
    )
  }
}
