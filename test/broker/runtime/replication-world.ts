/**
 * A follower's fetchers among leaders: brokers 2 and 3 with the real handlers of Fetch and ListOffsets over partitions
 * that are models, broker 1 with real fetchers and partitions that are models, and the network in memory between them.
 */
import { type BrokerContext } from '../../../broker/api/context.ts'
import { fetchHandler } from '../../../broker/api/fetch.ts'
import { listOffsetsHandler } from '../../../broker/api/list-offsets.ts'
import { BrokerConfig } from '../../../broker/config/broker-config.ts'
import { createMemoryEnv, type MemoryEnv } from '../../../broker/env-memory.ts'
import { FetchSessions } from '../../../broker/runtime/fetch-sessions.ts'
import { type FollowedHost } from '../../../broker/runtime/follower-session.ts'
import { Purgatory } from '../../../broker/runtime/purgatory.ts'
import { RateWindow } from '../../../broker/runtime/rate-window.ts'
import { type CopyingThrottle, type FetcherConfig } from '../../../broker/runtime/replica-fetcher.ts'
import { ReplicaFetchers } from '../../../broker/runtime/replica-fetchers.ts'
import { ReplicationThrottle } from '../../../broker/runtime/replication-throttle.ts'
import { type BrokerId, type LeaderEpoch } from '../../../client/protocol/types.ts'
import { type Fate, FollowerModel, LeaderModel, ModelLog, TOPIC_ID } from './replication-models.ts'
import { type LinkSide, linkSide, ScriptedPeer } from './scripted-peer.ts'

export const BROKER_EPOCH = 77

export interface WorldOptions {
  readonly seed?: number
  readonly partitions?: number
  readonly leaders?: readonly number[]
  readonly fate?: (world: World, partition: number) => Fate
  readonly config?: Partial<FetcherConfig>
  readonly splitReads?: boolean
}

interface Leader {
  readonly peer: ScriptedPeer
  readonly led: Map<number, LeaderModel>
  readonly sessions: FetchSessions
}

export class World {
  readonly env: MemoryEnv
  readonly fetchers: ReplicaFetchers
  readonly followers: FollowerModel[] = []
  readonly side: LinkSide = linkSide()
  readonly leaders = new Map<number, Leader>()
  /** Who leads each partition now, and in which epoch. */
  readonly terms: { leader: number; epoch: number }[] = []
  slots = 1000
  config: FetcherConfig
  /** Bytes per second for the partitions that are throttled; none are at first. */
  throttledRate = Infinity
  readonly throttled = new Set<number>()
  fatal: Error | null = null

  private constructor(options: WorldOptions) {
    const { seed = 1, partitions = 1, config, splitReads } = options
    const split = (length: number): number => 1 + random.int(length)
    this.env = createMemoryEnv({ seed, ...(splitReads === true ? { networkOptions: { split } } : {}) })
    const random = this.env.random.fork()
    this.config = {
      waitMaxMs: 500,
      minBytes: 1,
      maxBytes: 1024 * 1024,
      responseMaxBytes: 10 * 1024 * 1024,
      backoffMs: 1000,
      socketTimeoutMs: 30_000,
      ...config,
    }
    this.fetchers = new ReplicaFetchers({
      env: this.env,
      memory: this.side.memory,
      brokerId: 1 as BrokerId,
      brokerEpoch: () => BROKER_EPOCH,
      config: () => this.config,
      throttle: this.#throttle(),
      onFatal: error => {
        this.fatal ??= error
      },
    })
    for (let partition = 0; partition < partitions; partition++) {
      const fate = options.fate === undefined ? {} : { fate: () => options.fate!(this, partition) }
      this.followers.push(new FollowerModel(partition, { after: ms => this.#after(ms), ...fate }))
    }
  }

  /** Partitions are led by the first leader, in epoch 0, and followed. */
  static async start(options: WorldOptions = {}): Promise<World> {
    const world = new World(options)
    for (const leader of options.leaders ?? [2]) await world.#startLeader(leader)
    const [first = 2] = options.leaders ?? [2]
    for (const { partition } of world.followers) {
      world.terms.push({ leader: first, epoch: 0 })
      world.leaders.get(first)!.led.set(partition, new LeaderModel(partition, new ModelLog(), 0))
    }
    for (const [broker, { peer }] of world.leaders)
      world.fetchers.brokerChanged(broker as BrokerId, peer.address)
    return world
  }

  async stop(): Promise<void> {
    this.fetchers.stop()
    for (const { peer } of this.leaders.values()) {
      const dying = peer.die()
      await this.advance(100)
      await dying
    }
  }

  /** Lets time pass in small steps: what crosses the network takes several turns, and each wants its time. */
  async advance(ms: number): Promise<void> {
    const stepMs = ms > 1000 ? 5 : 1
    for (let passed = 0; passed < ms; passed += stepMs) await this.env.clock.advance(stepMs)
  }

  /** Follows the partition as it is led now. */
  follow(partition: number): void {
    const { leader, epoch } = this.terms[partition]!
    const follower = this.followers[partition]!
    follower.follow(epoch)
    this.fetchers.assign(follower, leader as BrokerId, epoch as LeaderEpoch)
  }

  followAll(): void {
    for (const { partition } of this.followers) this.follow(partition)
  }

  /** The model of the partition where it is led. */
  led(partition: number): LeaderModel {
    return this.leaders.get(this.terms[partition]!.leader)!.led.get(partition)!
  }

  /** Broker `to` leads from now on, with the log as far as `end`; the follower has not heard of it. */
  move(partition: number, to: number, end: number): void {
    const before = this.led(partition)
    const term = { leader: to, epoch: this.terms[partition]!.epoch + 1 }
    this.leaders.get(this.terms[partition]!.leader)!.led.delete(partition)
    this.terms[partition] = term
    const log = before.log.copy()
    log.truncate(end)
    this.leaders.get(to)!.led.set(partition, new LeaderModel(partition, log, term.epoch))
    before.leaderEpoch = term.epoch
    before.replicaWaiters.wake()
  }

  async #startLeader(broker: number): Promise<void> {
    const { env } = this
    const led = new Map<number, LeaderModel>()
    const sessions = new FetchSessions({ clock: env.clock, random: env.random, slots: () => this.slots })
    const context = this.#contextOf(broker, led, sessions)
    const handlers = [fetchHandler(context), listOffsetsHandler(context)]
    this.leaders.set(broker, { peer: await ScriptedPeer.start(env, broker, handlers), led, sessions })
  }

  #contextOf(broker: number, led: Map<number, LeaderModel>, fetchSessions: FetchSessions): BrokerContext {
    const { terms } = this
    const topic = {
      topicId: TOPIC_ID,
      configs: new Map<string, string>(),
      get partitions() {
        return terms.map((term, partition) => ({ ...term, partition, replicas: [1, 2, 3] }))
      },
    }
    return {
      env: this.env,
      brokerId: broker,
      config: { values: { 'fetch.max.bytes': 64 * 1024 * 1024 } },
      metadata: { isAlone: true, image: { topicById: () => topic, topic: () => topic } },
      partitions: { get: (_topicId: unknown, partition: number) => led.get(partition)?.asHost() },
      fetchSessions,
      throttle: new ReplicationThrottle({
        clock: this.env.clock,
        brokerId: broker,
        config: () => BrokerConfig.of(),
      }),
      purgatory: new Purgatory(this.env),
      endpoint: () => ({ host: 'h', port: 1 }),
    } as unknown as BrokerContext
  }

  #throttle(): CopyingThrottle {
    const window = new RateWindow({ samples: 11, sampleMs: 1000 })
    const isThrottled = ({ partition }: FollowedHost): boolean => this.throttled.has(partition)
    const nowMs = (): number => this.env.clock.monotonicMs()
    const msUntilBack = (): number => window.msUntil(this.throttledRate, nowMs())
    return {
      get msUntilBack() {
        return msUntilBack()
      },
      holds: isThrottled,
      record(host, bytes) {
        if (isThrottled(host)) window.record(bytes, nowMs())
      },
    }
  }

  #after(ms: number): Promise<void> {
    return new Promise(resolve => this.env.timers.set(ms, resolve))
  }
}
