/**
 * The metadata store of a cluster: etcd, by its v3 API. What is asked of the store goes out as one call each, and comes
 * back as the contract says. This file must never send a change twice when it cannot know what became of the first.
 */
import { assert } from '../../client/protocol/assert.ts'
import { type Call, EtcdConnection } from './etcd/connection.ts'
import { closedError, unknownOutcome } from './etcd/errors.ts'
import { LeaseRenewals } from './etcd/leases.ts'
import {
  compactionRequest,
  leaseGrantRequest,
  leaseRequest,
  METHODS,
  rangeRequest,
  readLeaseGrant,
  readRange,
  readTxn,
  txnRequest,
} from './etcd/messages.ts'
import { type EtcdOptions, type Settings, settingsOf } from './etcd/options.ts'
import { ProtobufError } from './etcd/protobuf.ts'
import { EtcdWatches } from './etcd/watches.ts'
import {
  type KeySelector,
  type Lease,
  type LeaseId,
  type MetaStore,
  type RangeOptions,
  type RangeResult,
  type Revision,
  type Transaction,
  type TransactionResult,
  type Watch,
  type WatchListener,
} from './metastore.ts'
import { checkShape } from './rules.ts'

export type { EtcdOptions } from './etcd/options.ts'

/**
 * Connects to one of the members and checks its version. Rejects with a `MetaStoreError`: UNAVAILABLE where none is
 * reached within the time for a request, ACCESS_DENIED, UNSUPPORTED.
 *
 * Etcd grants leases in whole seconds and none below about 2 s. Transactions and keys have etcd's limits of size
 * (1.5 MiB for a request). Compaction is for all who use this etcd.
 */
export async function openEtcdMetaStore(options: EtcdOptions): Promise<MetaStore> {
  const settings = settingsOf(options)
  const connection = new EtcdConnection(settings)
  // While nobody answers there is nothing but timers, and a broker that starts would end without a word.
  const release = settings.rpc.hold()
  try {
    await connection.session(settings.env.clock.monotonicMs() + settings.requestTimeoutMs)
  } catch (error) {
    connection.close()
    throw error
  } finally {
    release()
  }
  return new EtcdMetaStore(settings, connection)
}

class EtcdMetaStore implements MetaStore {
  readonly #settings: Settings
  readonly #connection: EtcdConnection
  readonly #watches: EtcdWatches
  readonly #renewals: LeaseRenewals
  readonly #underWay = new Set<Promise<unknown>>()
  /** While anything is under way the process stays. */
  #release = (): void => {}
  #closing: Promise<void> | null = null

  constructor(settings: Settings, connection: EtcdConnection) {
    this.#settings = settings
    this.#connection = connection
    this.#watches = new EtcdWatches(settings, connection)
    this.#renewals = new LeaseRenewals(settings, connection)
  }

  // ------------------------------------------------------------------------------------- keys

  async range(select: KeySelector, options: RangeOptions = {}): Promise<RangeResult> {
    const request = rangeRequest(select, options).finish()
    return readRange(await this.#answer({ method: METHODS.range, request, kind: 'read' }))
  }

  async txn(transaction: Transaction): Promise<TransactionResult> {
    checkShape(transaction)
    const { success = [], failure = [] } = transaction
    const onlyReads = [...success, ...failure].every(({ type }) => type === 'range')
    const request = txnRequest(transaction).finish()
    const bytes = await this.#answer({ method: METHODS.txn, request, kind: onlyReads ? 'read' : 'once' })
    let result: TransactionResult
    try {
      result = readTxn(bytes)
    } catch (error) {
      if (!(error instanceof ProtobufError)) throw error
      throw unknownOutcome(error)
    }
    this.#watches.passed(result.revision)
    return result
  }

  async compact(revision: Revision): Promise<void> {
    const request = compactionRequest(revision).finish()
    await this.#call({ method: METHODS.compact, request, kind: 'repeatable', doneBefore: 'COMPACTED' })
  }

  // ------------------------------------------------------------------------------------- leases

  async grantLease(ttlMs: number): Promise<Lease> {
    assert(Number.isSafeInteger(ttlMs) && ttlMs > 0, 'a lease lives a whole number of milliseconds')
    const request = leaseGrantRequest(ttlMs).finish()
    // A lease that nobody has heard of expires by itself, and has no keys.
    return readLeaseGrant(await this.#answer({ method: METHODS.leaseGrant, request, kind: 'read' }))
  }

  async keepAlive(lease: LeaseId): Promise<number> {
    return this.#track(() => this.#renewals.renew(lease))
  }

  async revokeLease(lease: LeaseId): Promise<void> {
    const request = leaseRequest(lease).finish()
    const call: Call = {
      method: METHODS.leaseRevoke,
      request,
      kind: 'repeatable',
      doneBefore: 'LEASE_NOT_FOUND',
    }
    await this.#call(call)
  }

  // ------------------------------------------------------------------------------------- watches

  watch(select: KeySelector, fromRevision: Revision, listener: WatchListener): Watch {
    return this.#watches.add(select, fromRevision, listener)
  }

  // ------------------------------------------------------------------------------------- the end

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#underWay)
    this.#watches.close()
    this.#renewals.close()
    this.#connection.close()
  }

  // ------------------------------------------------------------------------------------- inside

  async #answer(call: Call): Promise<Uint8Array> {
    const answer = await this.#call(call)
    assert(answer !== null, 'only what is repeatable may have been done before')
    return answer
  }

  #call(call: Call): Promise<Uint8Array | null> {
    return this.#track(() => this.#connection.call(call))
  }

  async #track<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closing !== null) throw closedError()
    const promise = work()
    if (this.#underWay.size === 0) this.#release = this.#settings.rpc.hold()
    this.#underWay.add(promise)
    try {
      return await promise
    } finally {
      this.#underWay.delete(promise)
      if (this.#underWay.size === 0) this.#release()
    }
  }
}
