/**
 * All partitions that this broker follows, each with the fetcher of its leader: there is one for every broker that
 * leads any of them. Told by whoever follows the metadata; decides nothing but which fetcher a partition belongs to.
 */
import { type BrokerId, type LeaderEpoch, type TopicId } from '../../client/protocol/types.ts'
import { type Address } from '../env.ts'
import { type FollowedHost, partitionKey } from './follower-session.ts'
import { type FetcherCounters, type FetcherServices, ReplicaFetcher } from './replica-fetcher.ts'

export type ReplicaFetchersOptions = Omit<FetcherServices, 'counters' | 'quiet'>

export class ReplicaFetchers {
  readonly counters: FetcherCounters = {
    fetches: 0,
    bytes: 0,
    partitionErrors: 0,
    corruptBatches: 0,
    divergences: 0,
    startsOver: 0,
    sessionErrors: 0,
    linkFailures: 0,
  }
  readonly #services: FetcherServices
  readonly #fetchers = new Map<BrokerId, ReplicaFetcher>()
  readonly #addresses = new Map<BrokerId, Address>()
  readonly #leaders = new Map<string, BrokerId>()
  #stopped = false

  constructor(options: ReplicaFetchersOptions) {
    this.#services = { ...options, counters: this.counters, quiet: () => this.#quiet() }
  }

  /** Partitions that are followed. */
  get size(): number {
    return this.#leaders.size
  }

  /**
   * Copies the partition from `leader` from now on, and from nobody else. The host has been told to follow it under
   * `leaderEpoch` before. The same again does no harm.
   */
  assign(host: FollowedHost, leader: BrokerId, leaderEpoch: LeaderEpoch): void {
    if (this.#stopped) return
    const key = partitionKey(host.topicId, host.partition)
    const before = this.#leaders.get(key)
    if (before !== undefined && before !== leader) this.remove(host.topicId, host.partition)
    this.#leaders.set(key, leader)
    let fetcher = this.#fetchers.get(leader)
    if (fetcher === undefined) {
      fetcher = new ReplicaFetcher(this.#services, leader, this.#addresses.get(leader) ?? null)
      this.#fetchers.set(leader, fetcher)
    }
    fetcher.add(host, leaderEpoch)
  }

  /** The partition is led from here, by nobody, or is gone. Content when it is not followed. */
  remove(topicId: TopicId, partition: number): void {
    const key = partitionKey(topicId, partition)
    const leader = this.#leaders.get(key)
    if (leader === undefined) return
    this.#leaders.delete(key)
    const fetcher = this.#fetchers.get(leader)
    fetcher?.remove(topicId, partition)
    if (fetcher?.size !== 0) return
    fetcher.stop()
    this.#fetchers.delete(leader)
  }

  /** A broker is there at `address`, was registered anew, or (null) is gone: the link to it is made anew, or ended. */
  brokerChanged(broker: BrokerId, address: Address | null): void {
    if (address === null) this.#addresses.delete(broker)
    else this.#addresses.set(broker, address)
    this.#fetchers.get(broker)?.moveTo(address)
  }

  /** Ends every link. What hosts are working on goes on. */
  stop(): void {
    this.#stopped = true
    for (const fetcher of this.#fetchers.values()) fetcher.stop()
    this.#fetchers.clear()
    this.#leaders.clear()
  }

  #quiet(): void {
    for (const fetcher of this.#fetchers.values()) if (!fetcher.isQuiet) return
    this.#services.memory.rest()
  }
}
