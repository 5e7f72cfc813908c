/**
 * What a member of a group wants to read: names and patterns, the latter matched by the broker where it can, else here
 * over the list of all topics, which is asked again when it is old.
 */
import { listTopics } from '../../admin/topics.ts'
import { type Cluster } from '../../cluster.ts'
import { type ClientTimer } from '../../env.ts'
import { type StartFrom, type SubscribeOptions } from '../types.ts'
import { type Wants } from './membership.ts'

const INTERNAL_TOPICS = ['__consumer_offsets', '__transaction_state', '__share_group_state']

export class Subscription {
  readonly #cluster: Cluster
  readonly #names = new Map<string, StartFrom>()
  readonly #patterns: { readonly pattern: RegExp; readonly from: StartFrom }[] = []
  #matched: readonly string[] = []
  #timer: ClientTimer | null = null

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  get isEmpty(): boolean {
    return this.#names.size === 0 && this.#patterns.length === 0
  }

  get hasPatterns(): boolean {
    return this.#patterns.length > 0
  }

  /**
   * A broker that matches patterns gives out its internal topics, too. Whoever reads everything does not mean those,
   * least of all the one that grows with each commit of having read it: such a pattern is matched here.
   */
  get matchesInternalTopics(): boolean {
    return this.#patterns.some(({ pattern }) => INTERNAL_TOPICS.some(topic => pattern.test(topic)))
  }

  add({ topics, from = 'latest' }: SubscribeOptions): void {
    for (const topic of topics) {
      if (typeof topic === 'string') this.#names.set(topic, from)
      else this.#patterns.push({ pattern: new RegExp(topic.source, topic.flags.replace(/[gy]/g, '')), from })
    }
  }

  /** Where a partition of this topic starts where the group has committed nothing. */
  from(topic: string): StartFrom {
    return (
      this.#names.get(topic) ?? this.#patterns.find(({ pattern }) => pattern.test(topic))?.from ?? 'latest'
    )
  }

  /** With patterns for the broker to match. */
  get serverWants(): Wants {
    const sources = this.#patterns.map(({ pattern }) => toRe2(pattern))
    return { topics: [...this.#names.keys()], pattern: sources.length === 0 ? null : sources.join('|') }
  }

  /** With patterns matched here, as of the last `match`. */
  get ownWants(): Wants {
    return { topics: [...new Set([...this.#names.keys(), ...this.#matched])].sort(), pattern: null }
  }

  /** Asks for the list of topics. True where other topics match than before. */
  async match(signal?: AbortSignal): Promise<boolean> {
    if (!this.hasPatterns) return false
    const topics = await listTopics(this.#cluster, signal === undefined ? {} : { signal })
    const matched = topics
      .filter(({ topic, internal }) => !internal && this.#patterns.some(({ pattern }) => pattern.test(topic)))
      .map(({ topic }) => topic)
      .sort()
    const changed = matched.join('\n') !== this.#matched.join('\n')
    this.#matched = matched
    return changed
  }

  /** Calls back whenever other topics match. */
  watch(onChange: () => void): void {
    if (!this.hasPatterns) return
    const { env, config } = this.#cluster
    const again = (): void => this.watch(onChange)
    this.#timer = env.timers.setBackground(Math.min(config.metadataMaxAgeMs, 0x7fff_ffff), () => {
      this.match()
        .then(
          changed => {
            if (changed) onChange()
          },
          (error: unknown) => config.logger.warn('the list of topics could not be fetched', { error }),
        )
        .finally(() => {
          if (this.#timer !== null) again()
        })
    })
  }

  unwatch(): void {
    if (this.#timer !== null) this.#cluster.env.timers.clear(this.#timer)
    this.#timer = null
  }
}

/** The broker matches whole names, where JavaScript looks for a match anywhere in them. */
export function toRe2({ source, ignoreCase, multiline, dotAll }: RegExp): string {
  const flags = `${ignoreCase ? 'i' : ''}${multiline ? 'm' : ''}${dotAll ? 's' : ''}`
  return `(?:${flags === '' ? '' : `(?${flags})`}.*(?:${source}).*)`
}
