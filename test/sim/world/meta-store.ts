/**
 * The simulated metadata store as one process has it. What the etcd client promises it promises too, and no more: a
 * change whose answer is lost has an unknown outcome, and may still happen after its caller was told so; a watch goes
 * on behind the last revision that was told. Its calls end with its process.
 */
import {
  type KeySelector,
  type Lease,
  type LeaseId,
  type MetaStore,
  MetaStoreError,
  type MetaStoreErrorCode,
  type RangeOptions,
  type RangeResult,
  type Revision,
  type Transaction,
  type TransactionResult,
  type Watch,
  type WatchBatch,
  type WatchListener,
} from '../../../broker/metastore/metastore.ts'
import { checkShape } from '../../../broker/metastore/rules.ts'
import { type MetaServer, type Outcome } from './meta-server.ts'
import { type SimProcess } from './process.ts'
import { KIND } from './scheduler.ts'

/** As `read`, `repeatable` and `once` of the etcd client. */
type Kind = 'read' | 'repeatable' | 'once'

/** The defaults of the etcd client. */
const REQUEST_TIMEOUT_MS = 5000
const CONNECT_TIMEOUT_MS = 2000
const ATTEMPTS = 3
/** A watch that has heard nothing for so long begins anew. */
const SILENCE_MS = 6000

export class SimMetaStore implements MetaStore {
  readonly #server: MetaServer
  readonly #process: SimProcess
  readonly #underWay = new Set<Promise<unknown>>()
  readonly #watches = new Set<SimWatch>()
  /** After a failure the next call asks first whether anybody is there, and is sent only then. */
  #isConnected = false
  #isClosed = false

  constructor(server: MetaServer, process: SimProcess) {
    this.#server = server
    this.#process = process
  }

  range(select: KeySelector, options: RangeOptions = {}): Promise<RangeResult> {
    return this.#answer('read', () => this.#server.state.range(select, options))
  }

  async txn(transaction: Transaction): Promise<TransactionResult> {
    checkShape(transaction)
    const { success = [], failure = [] } = transaction
    const onlyReads = [...success, ...failure].every(({ type }) => type === 'range')
    return this.#answer(onlyReads ? 'read' : 'once', () => this.#server.state.execute(transaction).result)
  }

  async compact(revision: Revision): Promise<void> {
    const execute = (): void => {
      this.#server.state.checkCompact(revision)
      this.#server.change([{ type: 'compact', revision }])
    }
    await this.#call('repeatable', execute, 'COMPACTED')
  }

  grantLease(ttlMs: number): Promise<Lease> {
    return this.#answer('read', () => this.#server.grant(ttlMs))
  }

  keepAlive(lease: LeaseId): Promise<number> {
    return this.#answer('read', () => this.#server.renew(lease))
  }

  async revokeLease(lease: LeaseId): Promise<void> {
    await this.#call('repeatable', () => this.#server.revoke(lease), 'LEASE_NOT_FOUND')
  }

  watch(select: KeySelector, fromRevision: Revision, listener: WatchListener): Watch {
    const watch = new SimWatch(this.#server, this.#process, { select, next: fromRevision, listener })
    if (this.#isClosed) void Promise.resolve().then(() => watch.finish(closed()))
    else this.#watches.add(watch)
    return {
      cancel: () => {
        this.#watches.delete(watch)
        watch.cancel()
      },
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled(this.#underWay)
    for (const watch of this.#watches) watch.finish(closed())
    this.#watches.clear()
  }

  // -------------------------------------------------------------------------------------------- calls

  async #answer<T>(kind: Kind, execute: () => T): Promise<T> {
    return (await this.#call(kind, execute)) as T
  }

  /** Null where a repeated call was refused as having been done before. */
  async #call<T>(kind: Kind, execute: () => T, doneBefore?: MetaStoreErrorCode): Promise<T | null> {
    if (this.#isClosed) throw closed()
    const call = this.#attempts(kind, execute, doneBefore)
    this.#underWay.add(call)
    try {
      return await call
    } finally {
      this.#underWay.delete(call)
    }
  }

  async #attempts<T>(kind: Kind, execute: () => T, doneBefore?: MetaStoreErrorCode): Promise<T | null> {
    const deadlineMs = this.#process.monotonicMs() + REQUEST_TIMEOUT_MS
    const leftMs = (): number => deadlineMs - this.#process.monotonicMs()
    const attemptMs = kind === 'once' ? REQUEST_TIMEOUT_MS : REQUEST_TIMEOUT_MS / ATTEMPTS
    let lost: string | null = null
    while (leftMs() > 0) {
      if (!this.#isConnected && !(await this.#connect(leftMs()))) continue
      const outcome = await this.#exchange(execute, Math.max(1, Math.min(leftMs(), attemptMs)))
      switch (outcome.kind) {
        case 'done':
          return outcome.value
        case 'refused':
          if (lost !== null && outcome.error.code === doneBefore) return null
          throw outcome.error
        case 'not-done':
          break
        case 'unknown':
          lost = outcome.reason
          if (kind === 'once') {
            this.#isConnected = false
            throw unknownOutcome(lost)
          }
          break
        default:
          outcome satisfies never
      }
      this.#isConnected = false
      await this.#pause()
    }
    throw lost !== null && kind === 'repeatable' ? unknownOutcome(lost) : unavailable()
  }

  async #connect(leftMs: number): Promise<boolean> {
    const { state } = this.#server
    const timeoutMs = Math.max(1, Math.min(CONNECT_TIMEOUT_MS, leftMs))
    const outcome = await this.#exchange(() => state.revision, timeoutMs)
    this.#isConnected ||= outcome.kind === 'done'
    if (!this.#isConnected) await this.#pause()
    return this.#isConnected
  }

  #exchange<T>(execute: () => T, timeoutMs: number): Promise<Outcome<T>> {
    return new Promise(resolve => {
      const timer = this.#process.set(timeoutMs, () => resolve({ kind: 'unknown', reason: 'no answer' }))
      this.#server.submit(this.#process, execute, outcome => {
        this.#process.clear(timer)
        resolve(outcome as Outcome<T>)
      })
    })
  }

  #pause(): Promise<void> {
    return this.#process.sleep(20 + this.#server.random.int(480))
  }
}

interface Subscription {
  readonly select: KeySelector
  /** Everything before it has been told. */
  next: Revision
  readonly listener: WatchListener
}

/** What a stream brings, in its order. */
type Message = { readonly atMs: number } & (
  | { readonly batch: WatchBatch }
  | { readonly error: MetaStoreError }
)

class SimWatch {
  readonly process: SimProcess
  readonly #server: MetaServer
  readonly #subscription: Subscription
  #isOver = false
  /** The server's side of the stream; null between two streams. */
  #source: Watch | null = null
  #onTheirWay: Message[] = []
  #stalledMs = 0
  /** Streams so far: what belongs to an earlier one is dropped. */
  #stream = 0

  constructor(server: MetaServer, process: SimProcess, subscription: Subscription) {
    this.#server = server
    this.process = process
    this.#subscription = subscription
    server.streams.add(this)
    process.onKill(() => this.cancel())
    this.#open(server.upMs(process))
  }

  cancel(): void {
    this.#isOver = true
    this.#source?.cancel()
    this.#onTheirWay = []
    this.#server.streams.delete(this)
  }

  finish(error: MetaStoreError): void {
    if (this.#isOver) return
    this.cancel()
    this.#subscription.listener.ended(error)
  }

  /** The stream breaks, with what is on its way. */
  cut(): void {
    if (this.#isOver) return
    this.#source?.cancel()
    this.#source = null
    this.#onTheirWay = []
    this.#open(50 + this.#server.random.float() * 1500)
  }

  #open(afterMs: number): void {
    const stream = ++this.#stream
    this.#server.scheduler.in(afterMs, KIND.store, () => {
      if (this.#isOver || stream !== this.#stream) return
      if (!this.#server.hears(this.process) || !this.#server.hasLeader || this.process.isPaused) {
        this.#open(200 + this.#server.random.float() * 800)
        return
      }
      const { select, next } = this.#subscription
      this.#source = this.#server.watchers.add(select, next, {
        changed: batch => this.#send({ batch }, stream),
        ended: error => this.#send({ error }, stream),
      })
    })
  }

  #send(what: { readonly batch: WatchBatch } | { readonly error: MetaStoreError }, stream: number): void {
    if (stream !== this.#stream) return
    const { scheduler } = this.#server
    const lagMs = this.#server.watchLagMs(this.process.host)
    const atMs = scheduler.nowMs + this.#server.downMs(this.process) + lagMs * this.#server.random.float()
    const message = { ...what, atMs: Math.max(atMs, this.#onTheirWay.at(-1)?.atMs ?? 0) }
    this.#onTheirWay.push(message)
    if (this.#onTheirWay.length === 1) this.#arriveAt(message.atMs)
  }

  #arriveAt(atMs: number): void {
    const stream = this.#stream
    this.#server.scheduler.at(atMs, KIND.store, () => {
      if (!this.#isOver && stream === this.#stream) this.#arrive()
    })
  }

  #arrive(): void {
    const { nowMs } = this.#server.scheduler
    if (!this.#server.reaches(this.process)) {
      this.#stalledMs ||= nowMs
      if (nowMs - this.#stalledMs >= SILENCE_MS) this.cut()
      else this.#arriveAt(nowMs + 100 + this.#server.random.float() * 400)
      return
    }
    this.#stalledMs = 0
    for (let message = this.#onTheirWay[0]; message !== undefined; message = this.#onTheirWay[0]) {
      if (message.atMs > nowMs + 0.001) {
        this.#arriveAt(message.atMs)
        return
      }
      this.#onTheirWay.shift()
      const arrived = message
      this.process.enter(() => this.#told(arrived))
    }
  }

  #told(message: Message): void {
    if (this.#isOver) return
    if ('error' in message) {
      this.finish(message.error)
      return
    }
    const { batch } = message
    // A stream that began anew while the process stood still tells again what waits for it.
    if (batch.revision < this.#subscription.next) return
    this.#subscription.next = batch.revision + 1
    this.#subscription.listener.changed(batch)
  }
}

function unknownOutcome(reason: string): MetaStoreError {
  return new MetaStoreError('UNKNOWN_OUTCOME', `The answer to a change was lost (${reason}).`)
}

function unavailable(): MetaStoreError {
  return new MetaStoreError('UNAVAILABLE', 'The store did not answer in time, nothing was changed.')
}

function closed(): MetaStoreError {
  return new MetaStoreError('CLOSED', 'The metadata store has been closed.')
}
