/**
 * How fast this broker copies replicas that are throttled and not in sync (KIP-73): once as a leader that sends, once
 * as a follower that asks. The configs of topics say which replicas, those of the broker how fast. It counts and
 * answers; what is held back, and until when, is for those to say who send and ask.
 */
import { type BrokerConfig } from '../config/broker-config.ts'
import { type ThrottledReplicas } from '../config/replication-configs.ts'
import { TOPIC_CONFIGS } from '../config/topic-configs.ts'
import { type TopicImage } from '../controller/image.ts'
import { type Clock } from '../env.ts'
import { RateWindow } from './rate-window.ts'

type Side = 'leader' | 'follower'

export interface ReplicationThrottleOptions {
  readonly clock: Clock
  readonly brokerId: number
  readonly config: () => BrokerConfig
}

export class ReplicationThrottle {
  readonly leader: ReplicationQuota
  readonly follower: ReplicationQuota

  constructor(options: ReplicationThrottleOptions) {
    this.leader = new ReplicationQuota('leader', options)
    this.follower = new ReplicationQuota('follower', options)
  }
}

export class ReplicationQuota {
  readonly #side: Side
  readonly #options: ReplicationThrottleOptions
  /** Made when the first throttled byte comes; how long it is takes effect at start. */
  #window: RateWindow | null = null
  readonly #parsed = new WeakMap<ReadonlyMap<string, string>, ThrottledReplicas>()

  constructor(side: Side, options: ReplicationThrottleOptions) {
    this.#side = side
    this.#options = options
  }

  /** The replica on this broker is one whose bytes are counted. */
  covers(topic: TopicImage, partition: number): boolean {
    const name = `${this.#side}.replication.throttled.replicas` as const
    const text = topic.configs.get(name)
    if (text === undefined) return false
    let replicas = this.#parsed.get(topic.configs)
    if (replicas === undefined) {
      replicas = TOPIC_CONFIGS[name].parse(name, text)
      this.#parsed.set(topic.configs, replicas)
    }
    return replicas === 'all' || replicas.get(partition)?.has(this.#options.brokerId) === true
  }

  /** The replica on this broker must wait: it is throttled, the quota is used up, and `follower` is not in sync. */
  holds(topic: TopicImage, partition: number, follower: number): boolean {
    return (
      this.msUntilBack > 0 &&
      this.covers(topic, partition) &&
      topic.partitions[partition]?.isr.includes(follower) !== true
    )
  }

  /** Of a replica that is covered. */
  record(bytes: number): void {
    const { values } = this.#options.config()
    this.#window ??= new RateWindow({
      samples: values['replication.quota.window.num'],
      sampleMs: values['replication.quota.window.size.seconds'] * 1000,
    })
    this.#window.record(bytes, this.#options.clock.monotonicMs())
  }

  /** Milliseconds until there is quota again, if nothing is copied meanwhile; 0 where there is some now. */
  get msUntilBack(): number {
    if (this.#window === null) return 0
    const rate = this.#options.config().values[`${this.#side}.replication.throttled.rate`]
    return this.#window.msUntil(rate, this.#options.clock.monotonicMs())
  }
}
