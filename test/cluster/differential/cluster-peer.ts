/**
 * The bare protocol spoken to brokers of which any may be asked: requests go to the leader or the coordinator where the
 * protocol wants that, else to one that chance chooses. It asks only when what came before has reached all of them, so
 * that answers tell how brokers behave and not how fast they are.
 */
import { setImmediate as turn } from 'node:timers/promises'
import { type TestBroker } from '../../../broker/testing.ts'
import { API, type Api } from '../../../client/protocol/apis.ts'
import { type TopicId } from '../../../client/protocol/types.ts'
import { Peer } from '../../interop/peer.ts'

type AnyApi<Response, RequestInput> = Api<unknown, Response, RequestInput, unknown>

const SETTLE_TIMEOUT_MS = 10_000
const BROKER = 4
const OFFSETS_TOPIC = '__consumer_offsets'

const FOR_LEADERS: ReadonlySet<number> = new Set([
  API.Produce.key,
  API.Fetch.key,
  API.ListOffsets.key,
  API.DeleteRecords.key,
  API.OffsetForLeaderEpoch.key,
  API.DescribeProducers.key,
])

const FOR_COORDINATORS: ReadonlySet<number> = new Set([
  API.JoinGroup.key,
  API.SyncGroup.key,
  API.Heartbeat.key,
  API.LeaveGroup.key,
  API.OffsetCommit.key,
  API.OffsetFetch.key,
  API.OffsetDelete.key,
  API.ListGroups.key,
  API.DescribeGroups.key,
  API.DeleteGroups.key,
  API.ConsumerGroupHeartbeat.key,
  API.ConsumerGroupDescribe.key,
])

/** Configs of one broker only that broker checks and tells. */
const FOR_NAMED_BROKERS: ReadonlySet<number> = new Set([
  API.DescribeConfigs.key,
  API.AlterConfigs.key,
  API.IncrementalAlterConfigs.key,
])

interface NamedTopic {
  readonly name?: string
  readonly topic?: string
  readonly topicId?: TopicId
}

export class ClusterPeer implements AsyncDisposable {
  readonly #brokers: readonly TestBroker[]
  readonly #peers: readonly Peer[]
  readonly #random: () => number
  /** Where the last request for a partition went; fetch sessions live there. */
  #last = 0

  private constructor(brokers: readonly TestBroker[], peers: readonly Peer[], random: () => number) {
    this.#brokers = brokers
    this.#peers = peers
    this.#random = random
  }

  /** `random` yields numbers from 0 to below 1. */
  static async connect(brokers: readonly TestBroker[], random: () => number): Promise<ClusterPeer> {
    const peers = await Promise.all(brokers.map(({ bootstrap }) => Peer.connect(bootstrap)))
    return new ClusterPeer(brokers, peers, random)
  }

  serves(api: { readonly key: number }, version: number): boolean {
    return this.#peers.every(peer => peer.serves(api, version))
  }

  async ask<Response, RequestInput>(
    api: AnyApi<Response, RequestInput>,
    version: number,
    body: RequestInput,
  ): Promise<Response | 'closed' | 'silent'> {
    await this.settled()
    return this.#peers[this.#seatFor(api.key, body)]!.ask(api, version, body)
  }

  async tell<RequestInput>(
    api: AnyApi<unknown, RequestInput>,
    version: number,
    body: RequestInput,
  ): Promise<'closed' | 'open'> {
    await this.settled()
    return this.#peers[this.#seatFor(api.key, body)]!.tell(api, version, body)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#peers.map(peer => peer[Symbol.asyncDispose]()))
  }

  #seatFor(key: number, body: unknown): number {
    if (FOR_COORDINATORS.has(key)) return this.#seatOfLeader({ name: OFFSETS_TOPIC }) ?? this.#anySeat()
    if (FOR_NAMED_BROKERS.has(key)) return this.#seatOfBroker(body) ?? this.#anySeat()
    if (!FOR_LEADERS.has(key)) return this.#anySeat()
    const { topics, topicData } = body as {
      topics?: readonly NamedTopic[]
      topicData?: readonly NamedTopic[]
    }
    for (const topic of topics ?? topicData ?? []) {
      const seat = this.#seatOfLeader(topic)
      if (seat !== null) return (this.#last = seat)
    }
    return this.#last
  }

  #seatOfBroker(body: unknown): number | null {
    const { resources } = body as { resources: readonly { resourceType: number; resourceName: string }[] }
    const named = resources.find(({ resourceType }) => resourceType === BROKER)?.resourceName
    const seat = this.#brokers.findIndex(({ brokerId }) => String(brokerId) === named)
    return seat === -1 ? null : seat
  }

  #anySeat(): number {
    return Math.floor(this.#random() * this.#brokers.length)
  }

  /** All partitions of the topics of these scripts have the same leader: each request has one place to go to. */
  #seatOfLeader({ name, topic, topicId }: NamedTopic): number | null {
    const { image } = this.#brokers[0]!.broker.context.metadata
    const found =
      image.topic(name ?? topic ?? '') ?? (topicId === undefined ? undefined : image.topicById(topicId))
    const leader = found?.partitions[0]?.leader ?? -1
    const seat = this.#brokers.findIndex(({ brokerId }) => brokerId === leader)
    return seat === -1 ? null : seat
  }

  /** Resolves when all brokers are one again; rejects where that takes too long. */
  async settled(): Promise<void> {
    const deadlineMs = performance.now() + SETTLE_TIMEOUT_MS
    while (!isSettled(this.#brokers)) {
      if (performance.now() > deadlineMs) throw new Error(`not settled after ${SETTLE_TIMEOUT_MS} ms`)
      await turn()
    }
  }
}

/** All know the same, every partition is in sync, and what was written is committed. */
function isSettled(brokers: readonly TestBroker[]): boolean {
  const contexts = brokers.map(({ broker }) => broker.context)
  if (new Set(contexts.map(({ metadata }) => metadata.revision)).size > 1) return false
  for (const { topicId, partitions } of contexts[0]!.metadata.image.topics()) {
    for (const { partition, leader, replicas, isr } of partitions) {
      if (isr.length < replicas.length) return false
      for (const context of contexts) {
        if (!replicas.includes(context.brokerId)) continue
        const host = context.partitions.get(topicId, partition)
        if (host?.role !== (context.brokerId === leader ? 'leader' : 'follower')) return false
        if (host.role === 'leader' && host.highWatermark < host.state.logEndOffset) return false
      }
    }
  }
  return true
}
