/**
 * One reading of the assigned partitions: an iterator or a run, from its begin to its end. Hands out what the
 * fetcher has brought, fairly over the partitions, and waits where there is nothing. There is one at a time.
 */
import { AbortError, type KafkaError } from '../errors.ts'
import { AckLedger } from './acks.ts'
import { type BatchView, type MessageCursor, type Presenter } from './batch.ts'
import { type BufferedBatch, type ConsumerPartition } from './partition.ts'
import { type OffsetKind } from './types.ts'

export interface ReadingOptions<K, V, O extends OffsetKind> {
  readonly presenter: Presenter<K, V, O>
  readonly partitions: () => readonly ConsumerPartition[]
  readonly signal: AbortSignal | undefined
  /** Records are acknowledged by the application, not by being handed out. */
  readonly tracksAcks: boolean
  /** A batch was used up: room became free. */
  readonly onTaken: () => void
  /** A batch cannot be read: true when it will be fetched once more, false to let the error out. */
  readonly onUnreadable: (partition: ConsumerPartition, error: unknown) => boolean
  readonly onEnd: () => void
  /** What has to be done after the end, as leaving the group; whoever ends the reading waits for it. */
  readonly closing: () => Promise<void>
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
  #inHand: ConsumerPartition | null = null
  #ended: AbortController | null = null
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

  /** Fires when the reading ends. */
  get ended(): AbortSignal {
    this.#ended ??= this.#isOver ? null : new AbortController()
    return this.#ended?.signal ?? AbortSignal.abort()
  }

  /** Whether something could be taken now. */
  get hasData(): boolean {
    return this.#options.partitions().some(each => !each.isHeldBack && !each.busy && each.peek() !== null)
  }

  /** The next batch, or null where there is none now. Throws what makes it unreadable. */
  take(): Taken<K, V, O> | null {
    const { presenter, onUnreadable } = this.#options
    const partitions = this.#options.partitions()
    for (let count = partitions.length; count > 0; count--) {
      const partition = partitions[this.#turn++ % partitions.length]!
      if (partition.isHeldBack || partition.busy) continue
      const buffered = partition.peek()
      if (buffered === null) continue
      try {
        const batch = presenter.batch(partition, buffered)
        partition.positionEpoch = buffered.leaderEpoch
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
    return partition.generation === taken.generation && !partition.isHeldBack
  }

  /** A record or batch from `offset` on goes to the application, which has nothing else in hand now. */
  handOut(partition: ConsumerPartition, offset: number): void {
    if (!this.#options.tracksAcks) return
    partition.acks ??= new AckLedger()
    partition.acks.handOut(offset)
    partition.inHand = true
    this.#inHand = partition
  }

  /** The application came back: it has what was handed out no more, unless it acknowledges later. */
  takeBack(): void {
    const partition = this.#inHand
    if (partition === null) return
    this.#inHand = null
    partition.inHand = false
    partition.onProgress?.()
  }

  /** The application left its loop: what it has in hand and did not acknowledge until now it will not. */
  leave(): void {
    this.#inHand?.acks?.leaveLast()
    this.takeBack()
    this.end(null)
  }

  /** Resolves when all that follows the end is done. Rejects never. */
  closing(): Promise<void> {
    return this.#options.closing()
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
    this.#ended?.abort()
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
    this.reading.takeBack()
    if (this.reading.isOver) return this.#finished()
    try {
      const value = this.nextNow()
      if (value !== null) return Promise.resolve({ value, done: false })
    } catch (error) {
      this.reading.end(null)
      this.#errorSeen = true
      return this.reading.closing().then(() => Promise.reject(error as Error))
    }
    return this.reading.wait().then(() => this.next())
  }

  #finished(): Promise<IteratorResult<T>> {
    const { error } = this.reading
    // The error is thrown once; after it the iterator is at its end, as iterators are.
    const isNews = error !== null && !this.#errorSeen
    this.#errorSeen = true
    return this.reading.closing().then(() => {
      if (isNews) throw error
      return { value: undefined, done: true }
    })
  }

  return(): Promise<IteratorResult<T>> {
    this.#errorSeen = true
    this.reading.leave()
    return this.reading.closing().then(() => ({ value: undefined, done: true }))
  }

  throw(error: unknown): Promise<IteratorResult<T>> {
    return this.return().then(() => Promise.reject(error as Error))
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
    this.reading.handOut(taken.partition, taken.batch.start)
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
          const { nextOffset } = this.#cursor!
          taken.partition.position = nextOffset
          this.reading.handOut(taken.partition, nextOffset - 1)
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
