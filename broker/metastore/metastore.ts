/**
 * The cluster's memory: a revisioned key-value store with transactions, leases and watches, with the semantics of
 * etcd v3. Brokers, topics, partitions and elections live in it, and safety rests on two of its properties only:
 * a transaction happens at one moment or not at all, and every change carries a revision that never goes back.
 *
 * Implementations: embedded (one node, over our own log), etcd (clusters), simulated. One behaviour, one test.
 * This file holds the contract and no code that does anything.
 *
 * Revisions. The store has one revision, which starts at 1 and grows by one with each transaction that changes
 * anything; a transaction that changes nothing (all reads, or deletes of absent keys) leaves it alone. Each key
 * carries `createRevision` (the transaction that made it; it starts anew after a delete), `modRevision` (the one that
 * changed it last) and `version` (1 on creation, plus one per change).
 *
 * Keys are strings, ordered as their UTF-8 bytes; values are bytes. Buffers given to the store must not be changed
 * afterwards; buffers that it returns must not be changed either.
 */

/** A revision of the whole store: 1 .. 2^53-1. */
export type Revision = number
/** Opaque id of a lease; never "0". */
export type LeaseId = string

export interface KeyValue {
  readonly key: string
  readonly value: Uint8Array
  readonly createRevision: Revision
  readonly modRevision: Revision
  /** 1 after creation, plus 1 with each change. */
  readonly version: number
  /** The lease that the key dies with, or null. */
  readonly lease: LeaseId | null
}

// ----------------------------------------------------------------------------------------- reading

/** One key, or every key that starts with a prefix ('' is all keys). */
export type KeySelector = { readonly key: string } | { readonly prefix: string }

export interface RangeOptions {
  /** Reads the state as of that revision: COMPACTED where it is too old, FUTURE_REVISION where it is yet to come. */
  readonly revision?: Revision
  /** At most so many entries, in key order; 0 or absent is no limit. */
  readonly limit?: number
  /** Leave `entries` empty and only count. */
  readonly countOnly?: boolean
  /** Start after this key (to page through a prefix at one revision). */
  readonly after?: string
}

export interface RangeResult {
  /** In key order. */
  readonly entries: readonly KeyValue[]
  /** All keys that match (after `after`), beyond `limit` too. */
  readonly count: number
  /** The store's revision when this was read. */
  readonly revision: Revision
}

// ------------------------------------------------------------------------------------ transactions

/**
 * A condition on one key. An absent key has version, createRevision and modRevision 0; a condition on the value of an
 * absent key is false whatever it asks.
 */
export type Compare =
  | { readonly key: string; readonly target: 'version'; readonly op?: CompareOp; readonly value: number }
  | {
      readonly key: string
      readonly target: 'createRevision'
      readonly op?: CompareOp
      readonly value: Revision
    }
  | {
      readonly key: string
      readonly target: 'modRevision'
      readonly op?: CompareOp
      readonly value: Revision
    }
  | { readonly key: string; readonly target: 'value'; readonly op?: CompareOp; readonly value: Uint8Array }
  | {
      readonly key: string
      readonly target: 'lease'
      readonly op?: CompareOp
      readonly value: LeaseId | null
    }
/** '=' when absent. Only '=' and '!=' make sense of a lease; values are ordered as bytes. */
export type CompareOp = '=' | '!=' | '<' | '>'

export type Operation =
  | {
      readonly type: 'put'
      readonly key: string
      readonly value: Uint8Array
      readonly lease?: LeaseId | null
    }
  | { readonly type: 'delete'; readonly key: string }
  | { readonly type: 'delete-prefix'; readonly prefix: string }
  | { readonly type: 'range'; readonly select: KeySelector; readonly options?: RangeOptions }

export type OperationResult =
  | { readonly type: 'put' }
  | { readonly type: 'delete'; readonly deleted: number }
  | ({ readonly type: 'range' } & RangeResult)

export interface Transaction {
  /** All must hold, else `failure` is carried out; none is always true. */
  readonly compare?: readonly Compare[]
  /** No key may be put twice, nor put and deleted, in one transaction (DUPLICATE_KEY). */
  readonly success?: readonly Operation[]
  readonly failure?: readonly Operation[]
}

export interface TransactionResult {
  /** Whether all conditions held. */
  readonly succeeded: boolean
  /** Of the branch taken, in the order of its operations. Ranges see the writes before them. */
  readonly results: readonly OperationResult[]
  /** The store's revision afterwards: that of this transaction if it changed anything. */
  readonly revision: Revision
}

/** Of conditions, and of operations in each branch: etcd's default limit, so that what works here works there. */
export const MAX_TRANSACTION_OPERATIONS = 128

// ------------------------------------------------------------------------------------------ leases

export interface Lease {
  readonly id: LeaseId
  /** What was granted; at least what was asked for. */
  readonly ttlMs: number
}

// ------------------------------------------------------------------------------------------ watches

export type WatchEvent =
  | { readonly type: 'put'; readonly entry: KeyValue; readonly previous: KeyValue | null }
  | {
      readonly type: 'delete'
      readonly key: string
      readonly modRevision: Revision
      /** What was there before; null where that is already compacted. */
      readonly previous: KeyValue | null
    }

export interface WatchBatch {
  /** Everything up to and including this revision has been delivered: go on from `revision + 1` after a cut. */
  readonly revision: Revision
  /** All events of one revision together, in the order of the operations; empty: progress only. */
  readonly events: readonly WatchEvent[]
}

export interface WatchListener {
  /** Must not throw. Called in revision order, never twice for one revision with events. */
  changed(batch: WatchBatch): void
  /** The watch is over: COMPACTED (read everything anew), CLOSED (the store has closed), or a failure of the store. */
  ended(error: MetaStoreError): void
}

export interface Watch {
  /** No call of the listener follows. */
  cancel(): void
}

// ------------------------------------------------------------------------------------------- errors

export type MetaStoreErrorCode =
  /** The revision asked for has been compacted away: read the state anew. */
  | 'COMPACTED'
  | 'FUTURE_REVISION'
  | 'LEASE_NOT_FOUND'
  | 'DUPLICATE_KEY'
  | 'TOO_MANY_OPERATIONS'
  | 'CLOSED'
  /** The store cannot be reached or did not answer: nothing was changed. Retry. */
  | 'UNAVAILABLE'
  /**
   * The transaction may have happened, may happen yet, or never: read before acting, and guard the next attempt by what
   * was read. Of two transactions that have one guard, and change it, one happens at most. That a value is the one that
   * was to be written proves nothing, as others write alike; that a key has one's own lease does.
   */
  | 'UNKNOWN_OUTCOME'
  /** The store's disk failed or its files are damaged: fatal to the broker. */
  | 'STORAGE_FAILED'
  /** The store does not know us, or does not let us do this: its settings and ours must be made to fit. */
  | 'ACCESS_DENIED'
  /** The store that was found is not one to build on: too old, or that of another cluster. */
  | 'UNSUPPORTED'

export class MetaStoreError extends Error {
  override readonly name = 'MetaStoreError'
  readonly code: MetaStoreErrorCode
  /** With COMPACTED: the oldest revision that can still be read, where the store says it (for watches always). */
  readonly compactRevision: Revision | null

  constructor(
    code: MetaStoreErrorCode,
    message: string,
    options: { cause?: unknown; compactRevision?: Revision } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.compactRevision = options.compactRevision ?? null
  }
}

// -------------------------------------------------------------------------------------------- store

/** Every promise rejects with a `MetaStoreError`. */
export interface MetaStore {
  /** A linearizable read. */
  range(select: KeySelector, options?: RangeOptions): Promise<RangeResult>
  /** Resolves when the outcome is durable. Concurrent transactions may share one sync. */
  txn(transaction: Transaction): Promise<TransactionResult>

  /** A lease that lives `ttlMs` from its last keep-alive. Its keys go, in one revision, when it ends. */
  grantLease(ttlMs: number): Promise<Lease>
  /** Renews; resolves to the new time to live. LEASE_NOT_FOUND once it has expired or was revoked. */
  keepAlive(lease: LeaseId): Promise<number>
  /** Ends the lease and deletes its keys in one revision; LEASE_NOT_FOUND where it is gone already. */
  revokeLease(lease: LeaseId): Promise<void>

  /**
   * Every change of the selected keys from `fromRevision` on (that one included), history first, without a gap or a
   * repetition. Read a state at revision R and watch from R + 1. Events arrive after they are durable.
   */
  watch(select: KeySelector, fromRevision: Revision, listener: WatchListener): Watch

  /** Forgets history before `revision`: reads and watches of older revisions end in COMPACTED. */
  compact(revision: Revision): Promise<void>

  /** Waits for what is under way; later calls reject with CLOSED and watches end with it. Leases live on (durably). */
  close(): Promise<void>
}
