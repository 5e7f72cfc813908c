/**
 * The etcd of a simulated cluster, as the machines of the brokers reach it: one state, a link to each of them that is
 * slow, late or cut, leases that end in virtual time, and a leader that is away now and then. It never forgets what it
 * has answered, and it decides nothing that `MetaState` does not.
 */
import { type SeededRandom } from '../../../broker/env-memory/random.ts'
import { type LeaseId, MetaStoreError, type Revision } from '../../../broker/metastore/metastore.ts'
import { leaseNotFound } from '../../../broker/metastore/rules.ts'
import { MetaState, type StateChange } from '../../../broker/metastore/state.ts'
import { Watchers } from '../../../broker/metastore/watchers.ts'
import { type SimNetwork } from './network.ts'
import { type SimProcess } from './process.ts'
import { KIND, type Scheduler } from './scheduler.ts'

/** What became of a request, as far as its sender hears of it. */
export type Outcome<T> =
  | { readonly kind: 'done'; readonly value: T }
  /** Understood and refused: nothing was done. */
  | { readonly kind: 'refused'; readonly error: MetaStoreError }
  /** There was no leader: nothing was done. */
  | { readonly kind: 'not-done' }
  /** The answer is lost. */
  | { readonly kind: 'unknown'; readonly reason: string }

interface Request {
  readonly from: SimProcess
  readonly sentMs: number
  /** Carries it out; may throw a MetaStoreError. */
  readonly execute: () => unknown
  readonly answer: (outcome: Outcome<unknown>) => void
}

export interface MetaServerOptions {
  readonly scheduler: Scheduler
  readonly network: SimNetwork
  readonly random: SeededRandom
  readonly host: string
  /** How long the members take to agree on a change, on average. */
  readonly commitMs: number
  /** So often the history before the last such moment is forgotten; Infinity for never. */
  readonly compactEveryMs: number
}

/** Etcd grants no shorter leases, and looks for expired ones so often. */
const SHORTEST_LEASE_MS = 2000
const EXPIRY_CHECK_MS = 500
/** A message that does not come through is sent again for so long. */
const HELD_MS = 15_000
const MESSAGE_BYTES = 300

export class MetaServer {
  readonly host: string
  readonly state = new MetaState()
  readonly watchers = new Watchers(this.state)
  readonly #options: MetaServerOptions
  #hasLeader = true
  /** Grows with each change of the leader. */
  #term = 0
  /** What came while there was no leader, and was not sent back. */
  #waiting: Request[] = []
  #isExpiryArmed = false
  #compactNext: Revision = 0
  /** By host: how late its watches are told. */
  readonly #watchLag = new Map<string, number>()
  /** Watches under way, for who cuts their streams. */
  readonly streams = new Set<{ readonly process: SimProcess; cut(): void }>()

  constructor(options: MetaServerOptions) {
    this.#options = options
    this.host = options.host
    if (options.compactEveryMs < Infinity) this.#compactLater()
  }

  get scheduler(): Scheduler {
    return this.#options.scheduler
  }

  get random(): SeededRandom {
    return this.#options.random
  }

  get hasLeader(): boolean {
    return this.#hasLeader
  }

  // ------------------------------------------------------------------------------------------ requests

  /** Carries `execute` out here when the request arrives; `answer` is called in the process, if ever. */
  submit(from: SimProcess, execute: () => unknown, answer: (outcome: Outcome<unknown>) => void): void {
    const { scheduler, random, commitMs } = this.#options
    const request = { from, sentMs: scheduler.nowMs, execute, answer }
    const afterMs = this.upMs(from) + commitMs * (0.3 + 1.4 * random.float())
    scheduler.in(afterMs, KIND.store, () => this.#arrive(request))
  }

  /** How long a message takes from that process to here, and back. */
  upMs(from: SimProcess): number {
    return this.#options.network.delayMs(from.host, this.host, MESSAGE_BYTES)
  }

  downMs(to: SimProcess): number {
    return this.#options.network.delayMs(this.host, to.host, MESSAGE_BYTES)
  }

  hears(from: SimProcess): boolean {
    return this.#options.network.passes(from.host, this.host)
  }

  reaches(to: SimProcess): boolean {
    return this.#options.network.passes(this.host, to.host)
  }

  #arrive(request: Request): void {
    const { scheduler, random } = this.#options
    if (!this.hears(request.from)) {
      // It is sent again for a while, also when its sender has stopped waiting: it may still be carried out, late.
      if (scheduler.nowMs - request.sentMs < HELD_MS)
        scheduler.in(100 + random.float() * 900, KIND.store, () => this.#arrive(request))
      return
    }
    if (!this.#hasLeader) {
      if (random.int(4) === 0) this.#waiting.push(request)
      else this.#reply(request, { kind: 'not-done' })
      return
    }
    this.#execute(request)
  }

  #execute(request: Request): void {
    this.expire()
    let outcome: Outcome<unknown>
    try {
      outcome = { kind: 'done', value: request.execute() }
    } catch (error) {
      if (!(error instanceof MetaStoreError)) throw error
      outcome = { kind: 'refused', error }
    }
    this.settled()
    this.#reply(request, outcome)
  }

  #reply(request: Request, outcome: Outcome<unknown>): void {
    const { scheduler, random } = this.#options
    const term = this.#term
    const sentMs = scheduler.nowMs
    const arrive = (): void => {
      if (this.reaches(request.from)) {
        const isLost = term !== this.#term && random.int(2) === 0
        const told: Outcome<unknown> = isLost
          ? { kind: 'unknown', reason: 'etcd changed its leader' }
          : outcome
        request.from.enter(() => request.answer(told))
      } else if (request.from.isAlive && scheduler.nowMs - sentMs < HELD_MS) {
        scheduler.in(100 + random.float() * 900, KIND.store, arrive)
      }
    }
    scheduler.in(this.downMs(request.from), KIND.store, arrive)
  }

  /** What has changed is told to those who watch. */
  settled(): void {
    this.#options.scheduler.note(this.state.revision)
    this.watchers.advance(this.state.revision)
    this.#armExpiry()
  }

  // -------------------------------------------------------------------------------------------- leases

  grant(ttlMs: number): { readonly id: LeaseId; readonly ttlMs: number } {
    const granted = Math.max(SHORTEST_LEASE_MS, Math.ceil(ttlMs / 1000) * 1000)
    const id = this.state.nextLease
    this.change([{ type: 'grant', lease: id, ttlMs: granted }])
    return { id, ttlMs: granted }
  }

  renew(lease: LeaseId): number {
    const state = this.state.lease(lease)
    if (state === undefined) throw leaseNotFound(lease)
    if (state.deadlineMs <= this.#options.scheduler.nowMs) {
      this.revoke(lease)
      throw leaseNotFound(lease)
    }
    this.state.renew(lease, this.#options.scheduler.nowMs)
    return state.ttlMs
  }

  revoke(lease: LeaseId): void {
    const changes = this.state.revocation(lease)
    if (changes === null) throw leaseNotFound(lease)
    this.change(changes)
  }

  change(changes: readonly StateChange[]): void {
    this.state.apply(changes, this.#options.scheduler.nowMs)
  }

  /** Ends the leases whose end is overdue. */
  expire(): void {
    const { nowMs } = this.#options.scheduler
    for (const lease of this.state.expiredLeases(nowMs - EXPIRY_CHECK_MS)) this.revoke(lease)
  }

  #armExpiry(): void {
    const { scheduler, random } = this.#options
    const { nextDeadlineMs } = this.state
    if (this.#isExpiryArmed || nextDeadlineMs === null) return
    this.#isExpiryArmed = true
    const atMs = nextDeadlineMs + random.float() * EXPIRY_CHECK_MS
    scheduler.at(Math.max(scheduler.nowMs, atMs), KIND.store, () => {
      this.#isExpiryArmed = false
      if (this.#hasLeader) for (const lease of this.state.expiredLeases(scheduler.nowMs)) this.revoke(lease)
      if (this.#hasLeader) this.settled()
    })
  }

  // ---------------------------------------------------------------------------------------- misfortune

  /** There is no leader for so long: nothing is done. A new one gives every lease its whole time anew, as etcd does. */
  loseLeader(forMs: number): void {
    if (!this.#hasLeader) return
    const { scheduler } = this.#options
    this.#hasLeader = false
    this.#term++
    scheduler.in(forMs, KIND.store, () => {
      this.#hasLeader = true
      for (const { lease } of this.state.image().leases) this.state.renew(lease, scheduler.nowMs)
      const waiting = this.#waiting
      this.#waiting = []
      for (const request of waiting) this.#execute(request)
      this.settled()
    })
  }

  /** The member that this host watches at is so far behind the others. */
  delayWatches(host: string, lagMs: number): void {
    if (lagMs === 0) this.#watchLag.delete(host)
    else this.#watchLag.set(host, lagMs)
  }

  watchLagMs(host: string): number {
    return this.#watchLag.get(host) ?? 0
  }

  /** What is on its way on these streams is lost; each goes on where its process has heard the last. */
  cutWatches(host: string): void {
    for (const stream of [...this.streams]) if (stream.process.host === host) stream.cut()
  }

  /** Forgets all history but the last `keep` revisions. */
  compact(keep: number): void {
    const revision = this.state.revision - keep
    if (revision > Math.max(1, this.state.compactRevision)) this.change([{ type: 'compact', revision }])
  }

  #compactLater(): void {
    const { scheduler, compactEveryMs } = this.#options
    scheduler.in(compactEveryMs, KIND.store, () => {
      this.compact(this.state.revision - this.#compactNext)
      this.#compactNext = this.state.revision
      this.#compactLater()
    })
  }
}
