/**
 * Holds one metadata store against another: the same work for both, and every answer, revision and event compared.
 *
 * Transactions are sent to the store under test many at a time. In which order they happen is its own affair; their
 * revisions say it afterwards, and in that order the reference carries them out. So the test asks for more than equal
 * answers: there must be one order that explains all.
 */
import assert from 'node:assert/strict'
import { SeededRandom } from '../../../broker/env-memory/random.ts'
import {
  type KeySelector,
  type KeyValue,
  type LeaseId,
  type MetaStore,
  MetaStoreError,
  type OperationResult,
  type Transaction,
  type TransactionResult,
  type Watch,
  type WatchBatch,
  type WatchEvent,
} from '../../../broker/metastore/metastore.ts'
import { type View, Workload } from './workload.ts'

const MOST_AT_ONCE = 24
const MOST_WATCHES = 6
const MOST_LEASES = 5
const LEASE_TTL_MS = 3_600_000
const CATCH_UP_TIMEOUT_MS = 20_000
/** No store gives this id. */
const NO_LEASE: LeaseId = '77'

export interface DifferentialOptions {
  readonly reference: MetaStore
  readonly tested: MetaStore
  readonly seed: number
  readonly operations: number
  /** Transactions that are sent at once, at most; 1 replays the same in the same order. Default 24. */
  readonly concurrency?: number
}

export interface DifferentialReport {
  operations: number
  transactions: number
  events: number
  compactions: number
  watches: number
}

/** Both stores new. Throws, with the seed and the round, where they differ. */
export async function compareStores(options: DifferentialOptions): Promise<DifferentialReport> {
  const differential = new Differential(options)
  try {
    await differential.run()
  } catch (error) {
    const { seed } = options
    throw new Error(`seed ${seed}, round ${differential.round} (${differential.doing}): ${String(error)}`, {
      cause: error,
    })
  }
  return differential.report
}

interface Pair {
  readonly select: KeySelector
  readonly from: number
  readonly reference: Recorder
  readonly tested: Recorder
}

class Differential {
  readonly report: DifferentialReport = {
    operations: 0,
    transactions: 0,
    events: 0,
    compactions: 0,
    watches: 0,
  }
  round = 0
  doing = ''
  readonly #reference: MetaStore
  readonly #tested: MetaStore
  readonly #work: Workload
  readonly #operations: number
  readonly #concurrency: number
  /** Leases that live: as the reference calls them, and as the other store does. */
  readonly #leases = new Map<LeaseId, LeaseId>()
  #deadLease: { readonly reference: LeaseId; readonly tested: LeaseId } = {
    reference: NO_LEASE,
    tested: NO_LEASE,
  }
  readonly #named = new Map<LeaseId, LeaseId>()
  readonly #watches = new Set<Pair>()
  #compactRevision = 0

  constructor(options: DifferentialOptions) {
    this.#reference = options.reference
    this.#tested = options.tested
    this.#work = new Workload(new SeededRandom(options.seed))
    this.#operations = options.operations
    this.#concurrency = options.concurrency ?? MOST_AT_ONCE
  }

  async run(): Promise<void> {
    while (this.report.operations < this.#operations) {
      this.round++
      await this.#doSomething(await this.#look())
    }
    await this.#catchUp()
    for (const pair of Array.from(this.#watches)) this.#unwatch(pair)
    await this.#compareStates()
  }

  async #doSomething(view: View): Promise<void> {
    const dice = this.#work.random.int(100)
    if (dice < 55) await this.#transactions(view)
    else if (dice < 66) await this.#ranges(view)
    else if (dice < 70) await this.#refusal(view)
    else if (dice < 74) await this.#grant()
    else if (dice < 77) await this.#renew()
    else if (dice < 81) await this.#revoke()
    else if (dice < 87) this.#watch(view)
    else if (dice < 91) await this.#endWatch()
    else if (dice < 93) await this.#compact(view)
    else if (dice < 94) await this.#compareStates()
    else await this.#transactions(view)
  }

  async #look(): Promise<View> {
    const { entries, revision } = await this.#reference.range({ prefix: '' })
    return {
      revision,
      compactRevision: this.#compactRevision,
      entries: new Map(entries.map(entry => [entry.key, entry])),
      leases: Array.from(this.#leases.keys()),
    }
  }

  // ------------------------------------------------------------------------------------- keys

  async #transactions(view: View): Promise<void> {
    const count = this.#work.rarely(3) ? 1 : 1 + this.#work.random.int(this.#concurrency)
    const transactions = Array.from({ length: count }, () => this.#work.transaction(view))
    this.doing = `${count} transactions`
    const answers = await Promise.all(
      transactions.map(async transaction => ({
        transaction,
        result: await this.#tested.txn(this.#forTested(transaction)),
      })),
    )
    // What changed something comes first of all that have its revision: the others saw it.
    answers.sort(
      (a, b) =>
        a.result.revision - b.result.revision || Number(hasChanged(b.result)) - Number(hasChanged(a.result)),
    )
    const expected = await Promise.all(answers.map(({ transaction }) => this.#reference.txn(transaction)))
    for (const [index, { transaction, result }] of answers.entries()) {
      this.#same(this.#txnAsReference(result), expected[index], () => describe(transaction))
      this.report.operations += result.results.length
      this.report.transactions++
    }
  }

  async #ranges(view: View): Promise<void> {
    const questions = Array.from({ length: 1 + this.#work.random.int(this.#concurrency) }, () => ({
      select: this.#work.select(),
      options: this.#work.rangeOptions(view, this.#work.rarely(10)),
    }))
    this.doing = `${questions.length} ranges`
    const [expected, actual] = await Promise.all([
      Promise.all(questions.map(({ select, options }) => outcome(this.#reference.range(select, options)))),
      Promise.all(questions.map(({ select, options }) => outcome(this.#tested.range(select, options)))),
    ])
    for (const [index, question] of questions.entries()) {
      const answer = actual[index]!
      const translated =
        'value' in answer
          ? { value: { ...answer.value, entries: answer.value.entries.map(entry => this.#entry(entry)) } }
          : answer
      this.#same(translated, expected[index], () => describe(question))
    }
    this.report.operations += questions.length
  }

  async #refusal(view: View): Promise<void> {
    this.doing = 'a transaction that is refused'
    const forReference = this.#work.refused(view, this.#deadLease.reference)
    const forTested = renamed(forReference, lease =>
      lease === this.#deadLease.reference ? this.#deadLease.tested : lease,
    )
    const expected = await outcome(this.#reference.txn(forReference))
    assert.ok('code' in expected, 'the reference refuses it')
    this.#same(await outcome(this.#tested.txn(forTested)), expected, () => describe(forReference))
    this.report.operations++
  }

  async #compareStates(): Promise<void> {
    this.doing = 'comparing the states'
    const expected = await this.#reference.range({ prefix: '' })
    const actual = await this.#tested.range({ prefix: '' })
    this.#same(
      { ...actual, entries: actual.entries.map(entry => this.#entry(entry)) },
      expected,
      () => 'the state',
    )
    this.report.operations++
  }

  async #compact(view: View): Promise<void> {
    this.doing = 'a compaction'
    await this.#catchUp()
    const kept = this.#work.random.int(60)
    const revision = this.#work.rarely(4)
      ? this.#work.pick([view.revision + 5, Math.max(1, this.#compactRevision)])
      : view.revision - kept
    if (revision < 2) return
    const expected = await outcome(this.#reference.compact(revision))
    this.#same(await outcome(this.#tested.compact(revision)), expected, () => `compact(${revision})`)
    if ('value' in expected) this.#compactRevision = revision
    this.report.compactions++
    this.report.operations++
  }

  // ------------------------------------------------------------------------------------- leases

  async #grant(): Promise<void> {
    this.doing = 'a lease'
    if (this.#leases.size >= MOST_LEASES) return
    const expected = await this.#reference.grantLease(LEASE_TTL_MS)
    const actual = await this.#tested.grantLease(LEASE_TTL_MS)
    assert.equal(actual.ttlMs, expected.ttlMs)
    assert.ok(!this.#named.has(actual.id), 'no id is given twice')
    this.#leases.set(expected.id, actual.id)
    this.#named.set(actual.id, expected.id)
    this.report.operations++
  }

  async #renew(): Promise<void> {
    this.doing = 'a renewal'
    const isDead = this.#leases.size === 0 || this.#work.rarely(4)
    const [reference, tested] = isDead
      ? [this.#deadLease.reference, this.#deadLease.tested]
      : this.#work.pick(Array.from(this.#leases))
    const expected = await outcome(this.#reference.keepAlive(reference))
    this.#same(await outcome(this.#tested.keepAlive(tested)), expected, () => `keepAlive(${reference})`)
    this.report.operations++
  }

  async #revoke(): Promise<void> {
    this.doing = 'a revocation'
    const isDead = this.#leases.size === 0 || this.#work.rarely(5)
    const [reference, tested] = isDead
      ? [this.#deadLease.reference, this.#deadLease.tested]
      : this.#work.pick(Array.from(this.#leases))
    if (!isDead && this.#work.rarely(2)) {
      const transaction = this.#work.underOneLease(reference)
      await this.#reference.txn(transaction)
      await this.#tested.txn(this.#forTested(transaction))
      this.report.operations += transaction.success?.length ?? 0
    }
    const expected = await outcome(this.#reference.revokeLease(reference))
    this.#same(await outcome(this.#tested.revokeLease(tested)), expected, () => `revokeLease(${reference})`)
    this.#leases.delete(reference)
    this.#deadLease = { reference, tested }
    this.report.operations++
  }

  // ------------------------------------------------------------------------------------- watches

  #watch(view: View): void {
    if (this.#watches.size >= MOST_WATCHES) return
    const select = this.#work.select()
    const oldest = this.#compactRevision + 1
    const from = this.#work.rarely(5)
      ? this.#work.pick([view.revision + 7, Math.max(1, this.#compactRevision - 3)])
      : oldest + this.#work.random.int(view.revision - oldest + 2)
    // Etcd before 3.5 forgets deletions at the compact revision itself.
    if (from === this.#compactRevision) return
    const pair = { select, from, reference: new Recorder(), tested: new Recorder() }
    pair.reference.watch = this.#reference.watch(select, from, pair.reference)
    pair.tested.watch = this.#tested.watch(select, from, pair.tested)
    this.#watches.add(pair)
    this.report.watches++
    this.report.operations++
  }

  async #endWatch(): Promise<void> {
    this.doing = 'the end of a watch'
    if (this.#watches.size === 0) return
    const pair = this.#work.pick(Array.from(this.#watches))
    await this.#catchUp()
    this.#unwatch(pair)
  }

  #unwatch(pair: Pair): void {
    pair.reference.watch?.cancel()
    pair.tested.watch?.cancel()
    this.#watches.delete(pair)
  }

  /** Waits until every watch has heard of everything, and compares what they heard. */
  async #catchUp(): Promise<void> {
    const { revision } = await this.#reference.range({ prefix: '' }, { countOnly: true })
    for (const pair of Array.from(this.#watches)) {
      const what = `a watch of ${describe(pair.select)} from ${pair.from}`
      if (pair.from <= revision) {
        await pair.reference.reached(revision, what)
        await pair.tested.reached(revision, what)
      }
      const events = pair.tested.take().map(batch => ({
        revision: batch.revision,
        events: batch.events.map(event => this.#event(event)),
      }))
      for (const batch of events) this.report.events += batch.events.length
      this.#same(events, pair.reference.take(), () => what)
      this.#same(ending(pair.tested), ending(pair.reference), () => what)
      if (pair.reference.error !== null) this.#watches.delete(pair)
    }
  }

  // ------------------------------------------------------------------------------------- one language

  #same(actual: unknown, expected: unknown, what: () => string): void {
    try {
      assert.deepEqual(actual, expected)
    } catch (error) {
      throw new Error(`${what()}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      })
    }
  }

  #forTested(transaction: Transaction): Transaction {
    return renamed(transaction, lease => this.#leases.get(lease) ?? lease)
  }

  #txnAsReference(result: TransactionResult): TransactionResult {
    const results = result.results.map(
      (one): OperationResult =>
        one.type === 'range' ? { ...one, entries: one.entries.map(entry => this.#entry(entry)) } : one,
    )
    return { ...result, results }
  }

  #entry(entry: KeyValue): KeyValue {
    const lease = entry.lease === null ? null : (this.#named.get(entry.lease) ?? entry.lease)
    return { ...entry, value: Buffer.from(entry.value), lease }
  }

  #event(event: WatchEvent): WatchEvent {
    const previous = event.previous === null ? null : this.#entry(event.previous)
    return event.type === 'put'
      ? { ...event, entry: this.#entry(event.entry), previous }
      : { ...event, previous }
  }
}

/** Keeps what a watch hears, and lets others wait for it to hear of a revision. */
class Recorder {
  watch: Watch | null = null
  error: MetaStoreError | null = null
  #batches: WatchBatch[] = []
  #revision = 0
  #wake: (() => void) | null = null

  changed(batch: WatchBatch): void {
    assert.equal(this.error, null, 'nothing follows the end')
    assert.ok(batch.revision > this.#revision, `revision ${batch.revision} comes after ${this.#revision}`)
    this.#revision = batch.revision
    if (batch.events.length > 0) this.#batches.push(batch)
    this.#wake?.()
  }

  ended(error: MetaStoreError): void {
    assert.equal(this.error, null, 'it ends once')
    this.error = error
    this.#wake?.()
  }

  take(): WatchBatch[] {
    const batches = this.#batches
    this.#batches = []
    return batches
  }

  async reached(revision: number, what: string): Promise<void> {
    if (this.#revision >= revision || this.error !== null) return
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`${what} has come to ${this.#revision}, and not to ${revision}`))
      }, CATCH_UP_TIMEOUT_MS)
      this.#wake = () => {
        if (this.#revision < revision && this.error === null) return
        clearTimeout(timer)
        this.#wake = null
        resolve()
      }
    })
  }
}

function ending({ error }: Recorder): unknown {
  return error === null ? null : { code: error.code, compactRevision: error.compactRevision }
}

async function outcome<T>(promise: Promise<T>): Promise<{ value: T } | { code: string }> {
  try {
    return { value: await promise }
  } catch (error) {
    if (!(error instanceof MetaStoreError)) throw error
    return { code: error.code }
  }
}

function hasChanged({ results }: TransactionResult): boolean {
  return results.some(result => result.type === 'put' || (result.type === 'delete' && result.deleted > 0))
}

function renamed(transaction: Transaction, rename: (lease: LeaseId) => LeaseId): Transaction {
  const branch = (operations: Transaction['success'] = []): Transaction['success'] & object =>
    operations.map(operation =>
      operation.type === 'put' && typeof operation.lease === 'string'
        ? { ...operation, lease: rename(operation.lease) }
        : operation,
    )
  return {
    compare: (transaction.compare ?? []).map(compare =>
      compare.target === 'lease' && compare.value !== null
        ? { ...compare, value: rename(compare.value) }
        : compare,
    ),
    success: branch(transaction.success),
    failure: branch(transaction.failure),
  }
}

function describe(what: unknown): string {
  return JSON.stringify(what, (_, value: unknown) =>
    typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer'
      ? String(Buffer.from((value as unknown as { data: number[] }).data))
      : value,
  )
}
