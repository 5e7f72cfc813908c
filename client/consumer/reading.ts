/**
 * One reading of the assigned partitions: an iterator or a run, from its begin to its end. Hands out what the
 * fetcher has brought, fairly over the partitions, and waits where there is nothing. There is one at a time.
 */
import { AbortError, type KafkaError } from '../errors.ts'
import { type BatchView, type MessageCursor, type Presenter } from './batch.ts'
import { type BufferedBatch, type ConsumerPartition } from './partition.ts'
import { type OffsetKind } from './types.ts'

export interface ReadingOptions<K, V, O extends OffsetKind> {
  readonly presenter: Presenter<K, V, O>
  readonly partitions: () => readonly ConsumerPartition[]
  readonly signal: AbortSignal | undefined
  /** A batch was used up: room became free. */
  readonly onTaken: () => void
  /** A batch cannot be read: true when it will be fetched once more, false to let the error out. */
  readonly onUnreadable: (partition: ConsumerPartition, error: unknown) => boolean
  readonly onEnd: () => void
}

/** A batch in the hands of a reader; it stays at the head of its partition's buffer until `finish`. */
export interface Taken<K, V, O extends OffsetKind> {
  readonly partition: ConsumerPartition
  readonly buffered: BufferedBatch
  readonly generation: number
  readonly batch: BatchView<K, V, O>
}

export class Reading<K, V, O extends OffsetKind> {
  readonly #options: ReadingOptions<K, V, O>
  #waiters: (() => void)[] = []
  #turn = 0
  #isOver = false
  recordsTaken = 0
  #error: KafkaError | AbortError | null = null
  readonly #onAbort = (): void => {
    const { signal } = this.#options
    this.end(new AbortError('reading was cancelled by its AbortSignal', signal?.reason))
  }

  constructor(options: ReadingOptions<K, V, O>) {
    this.#options = options
    options.signal?.addEventListener('abort', this.#onAbort, { once: true })
    if (options.signal?.aborted === true) this.#onAbort()
  }

  get isOver(): boolean {
    return this.#isOver
  }

  get error(): KafkaError | AbortError | null {
    return this.#error
  }

  /** Whether something could be taken now. */
  get hasData(): boolean {
    return this.#options.partitions().some(each => !each.paused && !each.busy && each.peek() !== null)
  }

  /** The next batch, or null where there is none now. Throws what makes it unreadable. */
  take(): Taken<K, V, O> | null {
    const { presenter, onUnreadable } = this.#options
    const partitions = this.#options.partitions()
    for (let count = partitions.length; count > 0; count--) {
      const partition = partitions[this.#turn++ % partitions.length]!
      if (partition.paused || partition.busy) continue
      const buffered = partition.peek()
      if (buffered === null) continue
      try {
        const batch = presenter.batch(partition, buffered)
        return { partition, buffered, generation: partition.generation, batch }
      } catch (error) {
        if (!onUnreadable(partition, error)) throw error
      }
    }
    return null
  }

  /** Whether what was taken may still be handed out. */
  isCurrent(taken: Taken<K, V, O>): boolean {
    const { partition } = taken
    return partition.generation === taken.generation && !partition.paused
  }

  /** The whole batch was handed out; `records` of it were not counted in `recordsTaken` yet. */
  finish(taken: Taken<K, V, O>, records: number): void {
    const { partition, generation, buffered } = taken
    if (partition.generation !== generation || partition.peek() !== buffered) return
    partition.shift()
    this.recordsTaken += records
    this.#options.onTaken()
  }

  /** Resolves when there may be something to take, or the reading is over. */
  wait(): Promise<void> {
    if (this.#isOver) return Promise.resolve()
    return new Promise(resolve => this.#waiters.push(resolve))
  }

  wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter()
  }

  /** Ends it; with an error that its reader is to see, or null. */
  end(error: KafkaError | AbortError | null): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#error = error
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#options.onEnd()
    this.wake()
  }
}

/** What both iterators share: leaving the loop, or an error, ends the reading. */
abstract class ReadingIterator<T, K, V, O extends OffsetKind> implements AsyncIterableIterator<T> {
  protected readonly reading: Reading<K, V, O>
  #errorSeen = false

  constructor(reading: Reading<K, V, O>) {
    this.reading = reading
  }

  protected abstract nextNow(): T | null

  next(): Promise<IteratorResult<T>> {
    if (this.reading.isOver) return this.#finished()
    try {
      const value = this.nextNow()
      if (value !== null) return Promise.resolve({ value, done: false })
    } catch (error) {
      this.reading.end(null)
      this.#errorSeen = true
      return Promise.reject(error as Error)
    }
    return this.reading.wait().then(() => this.next())
  }

  #finished(): Promise<IteratorResult<T>> {
    const { error } = this.reading
    // The error is thrown once; after it the iterator is at its end, as iterators are.
    if (error === null || this.#errorSeen) return Promise.resolve({ value: undefined, done: true })
    this.#errorSeen = true
    return Promise.reject(error)
  }

  return(): Promise<IteratorResult<T>> {
    this.#errorSeen = true
    this.reading.end(null)
    return Promise.resolve({ value: undefined, done: true })
  }

  throw(error: unknown): Promise<IteratorResult<T>> {
    void this.return()
    return Promise.reject(error as Error)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }
}

export class BatchIterator<K, V, O extends OffsetKind> extends ReadingIterator<BatchView<K, V, O>, K, V, O> {
  protected nextNow(): BatchView<K, V, O> | null {
    const taken = this.reading.take()
    if (taken === null) return null
    this.reading.finish(taken, taken.batch.count)
    return taken.batch
  }
}

type MessageOf<K, V, O extends OffsetKind> = NonNullable<ReturnType<MessageCursor<K, V, O>['next']>>

export class MessageIterator<K, V, O extends OffsetKind> extends ReadingIterator<
  MessageOf<K, V, O>,
  K,
  V,
  O
> {
  #taken: Taken<K, V, O> | null = null
  #cursor: MessageCursor<K, V, O> | null = null

  protected nextNow(): MessageOf<K, V, O> | null {
    for (;;) {
      const taken = this.#taken
      if (taken !== null && this.reading.isCurrent(taken)) {
        const message = this.#cursor!.next()
        if (message !== null) {
          taken.partition.position = this.#cursor!.nextOffset
          this.reading.recordsTaken++
          return message
        }
        this.reading.finish(taken, 0)
      }
      // Sought, paused or used up: what is left of the batch stays where it is, and is taken from the position on.
      this.#taken = this.reading.take()
      if (this.#taken === null) return null
      this.#cursor = this.#taken.batch.cursor()
    }
  }
}
