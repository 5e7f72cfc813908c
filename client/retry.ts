/**
 * Waiting and trying again: pauses that double up to a bound with a share of chance, deadlines, and AbortSignals. It
 * knows nothing of brokers; what to do between two attempts (fresh metadata) is the caller's.
 */
import { type ResolvedRetry } from './config.ts'
import { type ClientEnv, type ClientTimer } from './env.ts'
import { AbortError, KafkaError } from './errors.ts'

/**
 * Pause before attempt `attempt` (1 is the first repetition): initial * 2^(attempt-1), bounded, minus a random share.
 */
export function backoffMs(attempt: number, retry: ResolvedRetry, random: () => number): number {
  const full = Math.min(retry.maxBackoffMs, retry.initialBackoffMs * 2 ** Math.min(attempt - 1, 30))
  return full * (1 - retry.jitter * random())
}

export function abortError(what: string, signal: AbortSignal): AbortError {
  return new AbortError(`${what} was cancelled by its AbortSignal`, signal.reason)
}

export function throwIfAborted(what: string, signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortError(what, signal)
}

/** Resolves after `delayMs`; rejects with AbortError when the signal fires first. */
export function sleep(env: ClientEnv, delayMs: number, what: string, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(abortError(what, signal))
      return
    }
    let timer: ClientTimer
    const onAbort = (): void => {
      env.timers.clear(timer)
      reject(abortError(what, signal!))
    }
    timer = env.timers.set(delayMs, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** The promise's outcome, or AbortError as soon as the signal fires; the promise itself goes on unobserved. */
export function orAborted<T>(promise: Promise<T>, what: string, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      promise.catch(() => {})
      reject(abortError(what, signal))
      return
    }
    const onAbort = (): void => reject(abortError(what, signal))
    signal.addEventListener('abort', onAbort, { once: true })
    promise.finally(() => signal.removeEventListener('abort', onAbort)).then(resolve, reject)
  })
}

export interface AttemptOptions {
  readonly env: ClientEnv
  readonly retry: ResolvedRetry
  /** What is attempted, for messages: `createTopics`. */
  readonly what: string
  /** On the monotonic clock. */
  readonly deadlineMs: number
  readonly signal?: AbortSignal | undefined
  /** Called before the pause with the error that is being retried. */
  readonly onRetry?: (error: KafkaError, attempt: number) => void | Promise<void>
}

/**
 * Runs `attempt` until it succeeds, fails for good, or time and retries are used up; then throws the last error, and
 * where time was the reason, says so.
 */
export async function withRetries<T>(
  options: AttemptOptions,
  attempt: (attemptNumber: number) => Promise<T>,
): Promise<T> {
  const { env, retry, what, deadlineMs, signal, onRetry } = options
  const startMs = env.clock.monotonicMs()
  for (let number = 0; ; number++) {
    throwIfAborted(what, signal)
    try {
      return await orAborted(attempt(number), what, signal)
    } catch (error) {
      if (!(error instanceof KafkaError) || !error.retriable) throw error
      if (number >= retry.maxRetries) throw error
      await onRetry?.(error, number + 1)
      const pauseMs = backoffMs(number + 1, retry, env.random.float)
      const nowMs = env.clock.monotonicMs()
      if (nowMs + pauseMs >= deadlineMs) throw outOfTime(what, number + 1, nowMs - startMs, error)
      await sleep(env, pauseMs, what, signal)
    }
  }
}

function outOfTime(what: string, attempts: number, forMs: number, cause: KafkaError): KafkaError {
  return new KafkaError({
    code: cause.code === 'CONNECTION_FAILED' ? 'CONNECTION_FAILED' : 'TIMEOUT',
    message:
      `${what} did not succeed in ${Math.round(forMs)} ms and ${attempts} attempt${attempts === 1 ? '' : 's'}. ` +
      `Last: ${cause.message}`,
    retriable: true,
    api: cause.api,
    broker: cause.broker,
    topic: cause.topic,
    partition: cause.partition,
    cause,
  })
}
