/**
 * The revisioned store as a state machine: pure, synchronous, without a clock of its own. `execute` carries out a
 * transaction and says which changes it came to; `apply` carries out such changes again, from a log. Every mutation can
 * be undone in reverse order, because a shell learns only afterwards that its disk took not all.
 *
 * History is kept from the compact revision on: reads at a revision and watches live on it.
 */
import { assert } from '../../client/protocol/assert.ts'
import { compareKeys, SortedKeys } from './keys.ts'
import {
  type Compare,
  type KeySelector,
  type KeyValue,
  type LeaseId,
  MetaStoreError,
  type Operation,
  type OperationResult,
  type RangeOptions,
  type RangeResult,
  type Revision,
  type Transaction,
  type TransactionResult,
  type WatchEvent,
} from './metastore.ts'
import { checkShape, futureRevision, isSelected, leaseNotFound, matches } from './rules.ts'

/** What a log keeps of a transaction: its effects, so that a replay asks no questions. */
export type StateChange =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array; readonly lease: LeaseId | null }
  | { readonly type: 'delete'; readonly key: string }
  | { readonly type: 'grant'; readonly lease: LeaseId; readonly ttlMs: number }
  /** The lease's keys are deleted by changes of their own, before it. */
  | { readonly type: 'revoke'; readonly lease: LeaseId }
  | { readonly type: 'compact'; readonly revision: Revision }

/** A key at one revision; without an entry it was deleted then. */
export interface KeyVersion {
  readonly key: string
  readonly revision: Revision
  readonly entry: KeyValue | null
}

export interface LeaseState {
  readonly ttlMs: number
  deadlineMs: number
  readonly keys: Set<string>
}

/** Everything, in a form that can be written down; `MetaState.restore` makes a state of it. */
export interface StateImage {
  readonly revision: Revision
  readonly compactRevision: Revision
  readonly nextLease: number
  readonly leases: readonly { readonly lease: LeaseId; readonly ttlMs: number }[]
  /** In the order in which they came about. */
  readonly versions: readonly KeyVersion[]
}

export type Undo = () => void

export interface Executed {
  readonly result: TransactionResult
  /** Empty: nothing was changed. */
  readonly changes: readonly StateChange[]
  readonly undo: Undo
}

const FIRST_REVISION = 1

export class MetaState {
  #revision = FIRST_REVISION
  #compactRevision = 0
  #nextLease = 1
  /** Of each key all versions that are kept, oldest first; never empty. */
  readonly #versions = new Map<string, KeyVersion[]>()
  readonly #keys = new SortedKeys()
  readonly #leases = new Map<LeaseId, LeaseState>()
  /** What each revision from `#firstRevision` on changed, in order. */
  #history: KeyVersion[][] = []
  #firstRevision = FIRST_REVISION + 1
  /** While a transaction is carried out: what it has changed so far, and how to undo it. */
  #changes: StateChange[] = []
  #undo: Undo[] = []

  get revision(): Revision {
    return this.#revision
  }

  /** Older revisions can no longer be read or watched; 0: nothing has been compacted. */
  get compactRevision(): Revision {
    return this.#compactRevision
  }

  /** The id for the next `grant`. */
  get nextLease(): LeaseId {
    return String(this.#nextLease)
  }

  // ------------------------------------------------------------------------------------- reading

  range(select: KeySelector, options: RangeOptions = {}): RangeResult {
    this.#checkRevision(options.revision)
    return this.#range(select, options)
  }

  /** The events of `revision` (at most the current one, at least the compact one) that `select` wants. */
  eventsOf(revision: Revision, select: KeySelector): WatchEvent[] {
    const events: WatchEvent[] = []
    const history = this.#history[revision - this.#firstRevision]
    if (history === undefined) return events
    for (const version of history) {
      if (!isSelected(version.key, select)) continue
      const { key, entry } = version
      const previous = this.#before(version)?.entry ?? null
      events.push(
        entry === null
          ? { type: 'delete', key, modRevision: revision, previous }
          : { type: 'put', entry, previous },
      )
    }
    return events
  }

  /** Throws COMPACTED for a revision that can no longer be read or watched. */
  checkNotCompacted(revision: Revision): void {
    if (revision >= this.#compactRevision) return
    throw new MetaStoreError(
      'COMPACTED',
      `Revision ${revision} has been compacted; the oldest that is kept is ${this.#compactRevision}. ` +
        'Read the state anew and go on from its revision.',
      { compactRevision: this.#compactRevision },
    )
  }

  lease(lease: LeaseId): Readonly<LeaseState> | undefined {
    return this.#leases.get(lease)
  }

  /** Leases whose time is over at `nowMs`. */
  expiredLeases(nowMs: number): LeaseId[] {
    const expired: LeaseId[] = []
    for (const [lease, { deadlineMs }] of this.#leases) if (deadlineMs <= nowMs) expired.push(lease)
    return expired
  }

  /** When the next lease expires, or null when there is none. */
  get nextDeadlineMs(): number | null {
    let next: number | null = null
    for (const { deadlineMs } of this.#leases.values())
      if (next === null || deadlineMs < next) next = deadlineMs
    return next
  }

  // ------------------------------------------------------------------------------------- changing

  /**
   * Carries out a transaction. Throws a `MetaStoreError`, with nothing changed, for one that cannot be carried out. The
   * undo is valid until an earlier change is undone or history is compacted beyond it.
   */
  execute(transaction: Transaction): Executed {
    checkShape(transaction)
    const succeeded = (transaction.compare ?? []).every(compare => this.#holds(compare))
    const operations = (succeeded ? transaction.success : transaction.failure) ?? []
    this.#checkBranch(operations)
    this.#begin()
    const results = operations.map(operation => this.#carryOut(operation))
    const { changes, undo } = this.#end()
    return { result: { succeeded, results, revision: this.#revision }, changes, undo }
  }

  /** Carries out logged changes of one transaction. `nowMs` is when leases granted by it begin. */
  apply(changes: readonly StateChange[], nowMs: number): Undo {
    this.#begin()
    for (const change of changes) this.#change(change, nowMs)
    return this.#end().undo
  }

  /** The changes that end a lease: its keys, then itself. Null where there is no such lease. */
  revocation(lease: LeaseId): StateChange[] | null {
    const state = this.#leases.get(lease)
    if (state === undefined) return null
    const keys = Array.from(state.keys).sort(compareKeys)
    return [...keys.map(key => ({ type: 'delete', key }) as const), { type: 'revoke', lease }]
  }

  /** Moves a lease's deadline; not logged, as etcd does not log it either. False where there is no such lease. */
  renew(lease: LeaseId, nowMs: number): boolean {
    const state = this.#leases.get(lease)
    if (state === undefined) return false
    state.deadlineMs = nowMs + state.ttlMs
    return true
  }

  /** Throws what `compact` to that revision would be refused for. */
  checkCompact(revision: Revision): void {
    if (revision > this.#revision) throw futureRevision(revision, this.#revision)
    if (revision <= this.#compactRevision) this.checkNotCompacted(revision - 1)
  }

  // ------------------------------------------------------------------------------------- images

  image(): StateImage {
    const versions: KeyVersion[] = []
    const kept = new Set(this.#history.flat())
    // What lies before the history kept is in the order of its revisions; nobody can ask for more any more.
    for (const list of this.#versions.values())
      for (const version of list) if (!kept.has(version)) versions.push(version)
    versions.sort((a, b) => a.revision - b.revision)
    for (const revision of this.#history) versions.push(...revision)
    return {
      revision: this.#revision,
      compactRevision: this.#compactRevision,
      nextLease: this.#nextLease,
      leases: Array.from(this.#leases, ([lease, { ttlMs }]) => ({ lease, ttlMs })),
      versions,
    }
  }

  /** Every lease has its whole time to live from `nowMs` on: nobody can say how much had passed. */
  static restore(image: StateImage, nowMs: number): MetaState {
    const state = new MetaState()
    state.#revision = image.revision
    state.#compactRevision = image.compactRevision
    state.#nextLease = image.nextLease
    state.#firstRevision = Math.max(image.compactRevision, FIRST_REVISION + 1)
    for (let revision = state.#firstRevision; revision <= image.revision; revision++) state.#history.push([])
    for (const { lease, ttlMs } of image.leases) {
      state.#leases.set(lease, { ttlMs, deadlineMs: nowMs + ttlMs, keys: new Set() })
    }
    for (const version of image.versions) {
      const list = state.#versions.get(version.key)
      if (list !== undefined) list.push(version)
      else state.#versions.set(version.key, [version])
      state.#history[version.revision - state.#firstRevision]?.push(version)
    }
    for (const key of Array.from(state.#versions.keys()).sort()) state.#keys.add(key)
    for (const list of state.#versions.values()) {
      const entry = list.at(-1)!.entry
      if (entry !== null && entry.lease !== null) state.#leases.get(entry.lease)?.keys.add(entry.key)
    }
    return state
  }

  // ------------------------------------------------------------------------------------- inside: reading

  #checkRevision(revision: Revision | undefined): void {
    if (revision === undefined) return
    if (revision > this.#revision) throw futureRevision(revision, this.#revision)
    this.checkNotCompacted(revision)
  }

  #range(select: KeySelector, options: RangeOptions): RangeResult {
    const revision = options.revision ?? this.#revision
    const limit =
      options.limit === undefined || options.limit === 0 ? Number.POSITIVE_INFINITY : options.limit
    const entries: KeyValue[] = []
    let count = 0
    this.#visit(select, options.after, key => {
      const entry = this.#entryAt(key, revision)
      if (entry === null) return
      count++
      if (options.countOnly !== true && entries.length < limit) entries.push(entry)
    })
    return { entries, count, revision: this.#revision }
  }

  /** Visits all selected keys that have versions, in order. */
  #visit(select: KeySelector, after: string | undefined, visit: (key: string) => void): void {
    if ('key' in select) {
      const isAfter = after === undefined || compareKeys(select.key, after) > 0
      if (isAfter && this.#versions.has(select.key)) visit(select.key)
      return
    }
    let at = this.#keys.lowerBound(select.prefix)
    if (after !== undefined) {
      const beyond = this.#keys.lowerBound(after)
      at = Math.max(at, this.#keys.at(beyond) === after ? beyond + 1 : beyond)
    }
    for (; ; at++) {
      const key = this.#keys.at(at)
      if (key === undefined || !key.startsWith(select.prefix)) return
      visit(key)
    }
  }

  #entryAt(key: string, revision: Revision): KeyValue | null {
    const list = this.#versions.get(key)
    if (list === undefined) return null
    for (let at = list.length - 1; at >= 0; at--) if (list[at]!.revision <= revision) return list[at]!.entry
    return null
  }

  #current(key: string): KeyValue | null {
    return this.#versions.get(key)?.at(-1)?.entry ?? null
  }

  #before(version: KeyVersion): KeyVersion | undefined {
    const list = this.#versions.get(version.key) ?? []
    return list[list.lastIndexOf(version) - 1]
  }

  #holds(compare: Compare): boolean {
    const entry = this.#current(compare.key)
    const op = compare.op ?? '='
    switch (compare.target) {
      case 'version':
      case 'createRevision':
      case 'modRevision': {
        const actual = entry === null ? 0 : entry[compare.target]
        return matches(actual - compare.value, op)
      }
      case 'value':
        return entry !== null && matches(Buffer.compare(entry.value, compare.value), op)
      case 'lease': {
        const isSame = (entry?.lease ?? null) === compare.value
        return op === '=' ? isSame : op === '!=' && !isSame
      }
      default:
        return compare satisfies never
    }
  }

  // ------------------------------------------------------------------------------------- inside: changing

  /** Everything that could fail half-way is found out before the first operation. */
  #checkBranch(operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (operation.type === 'range') this.#checkRevision(operation.options?.revision)
      const lease = operation.type === 'put' ? (operation.lease ?? null) : null
      if (lease !== null && !this.#leases.has(lease)) throw leaseNotFound(lease)
    }
  }

  #begin(): void {
    this.#changes = []
    this.#undo = []
  }

  #end(): { changes: readonly StateChange[]; undo: Undo } {
    const undo = this.#undo
    return {
      changes: this.#changes,
      undo: () => {
        for (let at = undo.length - 1; at >= 0; at--) undo[at]!()
      },
    }
  }

  #carryOut(operation: Operation): OperationResult {
    switch (operation.type) {
      case 'put':
        this.#put(operation.key, operation.value, operation.lease ?? null)
        return { type: 'put' }
      case 'delete':
        return { type: 'delete', deleted: this.#delete(operation.key) }
      case 'delete-prefix': {
        const keys: string[] = []
        this.#visit({ prefix: operation.prefix }, undefined, key => void keys.push(key))
        let deleted = 0
        for (const key of keys) deleted += this.#delete(key)
        return { type: 'delete', deleted }
      }
      case 'range':
        return { type: 'range', ...this.#range(operation.select, operation.options ?? {}) }
      default:
        return operation satisfies never
    }
  }

  #change(change: StateChange, nowMs: number): void {
    switch (change.type) {
      case 'put':
        this.#put(change.key, change.value, change.lease)
        break
      case 'delete':
        this.#delete(change.key)
        break
      case 'grant':
        this.#grant(change.lease, change.ttlMs, nowMs)
        break
      case 'revoke':
        this.#revoke(change.lease)
        break
      case 'compact':
        this.#compact(change.revision)
        break
      default:
        change satisfies never
    }
  }

  #put(key: string, value: Uint8Array, lease: LeaseId | null): void {
    const previous = this.#current(key)
    const revision = this.#revisionOfTransaction()
    this.#add(previous, {
      key,
      revision,
      entry: {
        key,
        value,
        createRevision: previous?.createRevision ?? revision,
        modRevision: revision,
        version: (previous?.version ?? 0) + 1,
        lease,
      },
    })
    this.#changes.push({ type: 'put', key, value, lease })
  }

  #delete(key: string): number {
    const previous = this.#current(key)
    if (previous === null) return 0
    this.#add(previous, { key, revision: this.#revisionOfTransaction(), entry: null })
    this.#changes.push({ type: 'delete', key })
    return 1
  }

  /** The first put or delete of a transaction takes the next revision, the others share it. */
  #revisionOfTransaction(): Revision {
    const isFirst = this.#changes.every(change => change.type !== 'put' && change.type !== 'delete')
    if (!isFirst) return this.#revision
    this.#revision++
    this.#history.push([])
    this.#undo.push(() => {
      this.#revision--
      this.#history.pop()
    })
    return this.#revision
  }

  #add(previous: KeyValue | null, version: KeyVersion): void {
    const { key, entry } = version
    const list = this.#versions.get(key)
    if (list !== undefined) {
      list.push(version)
    } else {
      this.#versions.set(key, [version])
      this.#keys.add(key)
    }
    this.#history.at(-1)!.push(version)
    this.#attach(key, previous?.lease ?? null, entry?.lease ?? null)
    this.#undo.push(() => {
      this.#attach(key, entry?.lease ?? null, previous?.lease ?? null)
      const kept = this.#versions.get(key)!
      kept.pop()
      this.#history.at(-1)!.pop()
      if (kept.length > 0) return
      this.#versions.delete(key)
      this.#keys.remove(key)
    })
  }

  #attach(key: string, from: LeaseId | null, to: LeaseId | null): void {
    if (from !== null) this.#leases.get(from)?.keys.delete(key)
    if (to !== null) this.#leases.get(to)?.keys.add(key)
  }

  #grant(lease: LeaseId, ttlMs: number, nowMs: number): void {
    assert(!this.#leases.has(lease), 'a lease id is given once')
    const nextLease = this.#nextLease
    this.#leases.set(lease, { ttlMs, deadlineMs: nowMs + ttlMs, keys: new Set() })
    this.#nextLease = Math.max(nextLease, Number(lease) + 1)
    this.#changes.push({ type: 'grant', lease, ttlMs })
    // The id is not given back: whoever asked may have seen it.
    this.#undo.push(() => void this.#leases.delete(lease))
  }

  #revoke(lease: LeaseId): void {
    const state = this.#leases.get(lease)
    assert(state !== undefined && state.keys.size === 0, 'a lease ends after its keys')
    this.#leases.delete(lease)
    this.#changes.push({ type: 'revoke', lease })
    this.#undo.push(() => void this.#leases.set(lease, state))
  }

  /** Not undone: history that is gone is gone, and an older compact revision would promise what cannot be kept. */
  #compact(revision: Revision): void {
    assert(revision <= this.#revision, 'only what was is compacted')
    this.#changes.push({ type: 'compact', revision })
    if (revision <= this.#compactRevision) return
    this.#compactRevision = revision
    const forgotten = Math.max(0, revision - this.#firstRevision)
    this.#history = this.#history.slice(forgotten)
    this.#firstRevision += forgotten
    for (const [key, list] of this.#versions) {
      let first = list.length - 1
      while (first > 0 && list[first]!.revision > revision) first--
      const oldest = list[first]!
      // A deletion at the compact revision itself may still be watched; an older one is as if the key had never been.
      if (oldest.entry === null && oldest.revision < revision) first++
      if (first === list.length) this.#versions.delete(key)
      else if (first > 0) list.splice(0, first)
    }
    this.#keys.filter(key => this.#versions.has(key))
  }
}
