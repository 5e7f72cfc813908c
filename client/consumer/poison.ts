/**
 * What becomes of a record whose handler throws: it is tried again after a pause, skipped, copied to a dead-letter
 * topic, or it stops the run. Nothing is dropped without a word.
 */
import { type Cluster } from '../cluster.ts'
import { invalidOption, within } from '../config.ts'
import { type ClientEnv } from '../env.ts'
import { Producer } from '../producer/producer.ts'
import { backoffMs, sleep } from '../retry.ts'
import { type ConsumedBatch, type ConsumedMessage, type ErrorPolicy, type OffsetKind } from './types.ts'

export interface ResolvedErrorPolicy {
  readonly attempts: number
  readonly initialBackoffMs: number
  readonly maxBackoffMs: number
  readonly stops: boolean
  readonly deadLetter: string | null
}

export type Unit<K, V, O extends OffsetKind> = ConsumedMessage<K, V, O> | ConsumedBatch<K, V, O>
type AnyUnit = Unit<unknown, unknown, OffsetKind>

export interface PoisonPolicy extends ResolvedErrorPolicy {
  readonly env: ClientEnv
  /** Called before a record is skipped. Rejects where that cannot be done, which stops the run. */
  readonly giveUp: (unit: AnyUnit, error: unknown, attempts: number) => Promise<void>
}

const BACKOFF = { initialBackoffMs: 100, maxBackoffMs: 10_000 }

/** Throws KafkaError INVALID_OPTION. */
export function resolveErrorPolicy(policy: ErrorPolicy): ResolvedErrorPolicy {
  if (policy === 'stop' || policy === 'skip')
    return { ...BACKOFF, attempts: 1, stops: policy === 'stop', deadLetter: null }
  if (policy === 'retry')
    return { ...BACKOFF, attempts: Number.POSITIVE_INFINITY, stops: true, deadLetter: null }
  if (typeof policy !== 'object')
    throw invalidOption(`onError is ${String(policy)}; it must be stop, skip, retry or a policy`)
  const { attempts = 5, giveUp = 'stop' } = policy
  return {
    attempts: within('onError.attempts', attempts, 1, Number.POSITIVE_INFINITY),
    initialBackoffMs: within('onError.initialBackoffMs', policy.initialBackoffMs ?? 100, 0, 0x7fff_ffff),
    maxBackoffMs: within('onError.maxBackoffMs', policy.maxBackoffMs ?? 10_000, 0, 0x7fff_ffff),
    stops: giveUp === 'stop',
    deadLetter: typeof giveUp === 'object' ? giveUp.deadLetter : null,
  }
}

/**
 * The handler has thrown `failure`: calls it again until it succeeds or the policy says that it is enough. `isCurrent`
 * tells whether the record is still ours to try. Resolves to whether the record is done with; rejects where the run
 * shall stop.
 */
export async function recover(
  policy: PoisonPolicy,
  unit: AnyUnit,
  failure: unknown,
  isCurrent: () => boolean,
  signal: AbortSignal,
  handle: () => void | Promise<void>,
): Promise<boolean> {
  const { initialBackoffMs, maxBackoffMs, env } = policy
  const backoff = { initialBackoffMs, maxBackoffMs, jitter: 0.2, maxRetries: policy.attempts }
  let error = failure
  for (let attempt = 1; attempt < policy.attempts; attempt++) {
    const pauseMs = backoffMs(attempt, backoff, env.random.float)
    await sleep(env, pauseMs, 'the pause before another attempt', signal).catch(() => {})
    if (!isCurrent()) return false
    try {
      await handle()
      return true
    } catch (next) {
      error = next
    }
  }
  if (policy.stops) throw error
  await policy.giveUp(unit, error, policy.attempts)
  return true
}

/** Copies of records that were given up, with where they came from in their headers. */
export class DeadLetters {
  readonly #producer: Producer

  constructor(cluster: Cluster, lane: string) {
    this.#producer = new Producer(cluster, lane, {}, () => {})
  }

  /** Resolves when the copies are stored. */
  async send(topic: string, unit: AnyUnit, error: unknown): Promise<void> {
    const messages = 'firstOffset' in unit ? unit.messages() : [unit]
    await this.#producer.send({
      topic,
      messages: messages.map(message => ({
        key: message.keyBytes,
        value: message.valueBytes,
        headers: { ...byName(message.headers), ...origin(message, error) },
      })),
    })
  }

  close(): Promise<void> {
    return this.#producer.close()
  }
}

function byName(headers: ConsumedMessage['headers']): Record<string, (Buffer | null)[]> {
  const names: Record<string, (Buffer | null)[]> = Object.create(null)
  for (const { key, value } of headers) (names[key] ??= []).push(value)
  return names
}

function origin({ topic, partition, offset }: ConsumedMessage<unknown, unknown, OffsetKind>, error: unknown) {
  return {
    'sluice.dead-letter.topic': topic,
    'sluice.dead-letter.partition': String(partition),
    'sluice.dead-letter.offset': String(offset),
    'sluice.dead-letter.error': String(error),
  }
}
