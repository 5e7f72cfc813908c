/**
 * A metadata store that is plainly right because it is plain: it keeps a whole copy of everything for each revision.
 * The randomized tests hold the real ones against it.
 */
import fc from 'fast-check'
import {
  type Compare,
  type KeySelector,
  type KeyValue,
  type Operation,
  type OperationResult,
  type RangeResult,
  type Transaction,
  type WatchEvent,
} from '../../../broker/metastore/metastore.ts'

type Entries = ReadonlyMap<string, KeyValue>

export class ModelStore {
  /** Index: revision. Revision 1 is the empty store. */
  readonly revisions: Entries[] = [new Map(), new Map()]
  readonly events: (readonly WatchEvent[])[] = [[], []]

  get revision(): number {
    return this.revisions.length - 1
  }

  get entries(): Entries {
    return this.revisions[this.revision]!
  }

  range(select: KeySelector, revision = this.revision, limit = 0): RangeResult {
    return rangeOf(this.revisions[revision]!, select, this.revision, limit)
  }

  txn(transaction: Transaction): { succeeded: boolean; results: OperationResult[]; revision: number } {
    const succeeded = (transaction.compare ?? []).every(compare => this.#holds(compare))
    const operations = (succeeded ? transaction.success : transaction.failure) ?? []
    const draft = new Map(this.entries)
    const events: WatchEvent[] = []
    const results = operations.map(operation => this.#carryOut(operation, draft, events))
    this.#commit(draft, events)
    return { succeeded, results, revision: this.revision }
  }

  deleteAll(keys: readonly string[]): void {
    const draft = new Map(this.entries)
    const events: WatchEvent[] = []
    for (const key of keys) this.#delete(key, draft, events)
    this.#commit(draft, events)
  }

  eventsOf(revision: number, select: KeySelector): WatchEvent[] {
    return this.events[revision]!.filter(event =>
      isSelected(event.type === 'put' ? event.entry.key : event.key, select),
    )
  }

  #commit(draft: Entries, events: readonly WatchEvent[]): void {
    if (events.length === 0) return
    this.revisions.push(draft)
    this.events.push(events)
  }

  #holds(compare: Compare): boolean {
    const entry = this.entries.get(compare.key)
    const op = compare.op ?? '='
    let difference: number
    if (compare.target === 'value') {
      if (entry === undefined) return false
      difference = Buffer.compare(entry.value, compare.value)
    } else if (compare.target === 'lease') {
      difference = (entry?.lease ?? null) === compare.value ? 0 : 1
      if (op === '<' || op === '>') return false
    } else {
      difference = (entry?.[compare.target] ?? 0) - compare.value
    }
    return { '=': difference === 0, '!=': difference !== 0, '<': difference < 0, '>': difference > 0 }[op]
  }

  #carryOut(operation: Operation, draft: Map<string, KeyValue>, events: WatchEvent[]): OperationResult {
    const revision = this.revision + 1
    switch (operation.type) {
      case 'put': {
        const { key, value } = operation
        const previous = draft.get(key) ?? null
        const entry = {
          key,
          value,
          createRevision: previous?.createRevision ?? revision,
          modRevision: revision,
          version: (previous?.version ?? 0) + 1,
          lease: operation.lease ?? null,
        }
        draft.set(key, entry)
        events.push({ type: 'put', entry, previous })
        return { type: 'put' }
      }
      case 'delete':
        return { type: 'delete', deleted: this.#delete(operation.key, draft, events) }
      case 'delete-prefix': {
        const keys = Array.from(draft.keys()).filter(key => key.startsWith(operation.prefix))
        for (const key of keys.sort()) this.#delete(key, draft, events)
        return { type: 'delete', deleted: keys.length }
      }
      case 'range': {
        const { revision: at, limit = 0 } = operation.options ?? {}
        const seen = at === undefined ? draft : this.revisions[at]!
        const now = events.length > 0 ? revision : this.revision
        return { type: 'range', ...rangeOf(seen, operation.select, now, limit) }
      }
      default:
        return operation satisfies never
    }
  }

  #delete(key: string, draft: Map<string, KeyValue>, events: WatchEvent[]): number {
    const previous = draft.get(key)
    if (previous === undefined) return 0
    draft.delete(key)
    events.push({ type: 'delete', key, modRevision: this.revision + 1, previous })
    return 1
  }
}

function isSelected(key: string, select: KeySelector): boolean {
  return 'key' in select ? key === select.key : key.startsWith(select.prefix)
}

function rangeOf(entries: Entries, select: KeySelector, revision: number, limit: number): RangeResult {
  const all = Array.from(entries.values()).filter(entry => isSelected(entry.key, select))
  all.sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)))
  return { entries: limit === 0 ? all : all.slice(0, limit), count: all.length, revision }
}

// --------------------------------------------------------------------------------------- random operations

export const anyKey = fc.constantFrom('a', 'a/1', 'a/2', 'a/3', 'b', 'b/1', 'é', '\u{1F600}', '\uFFFD')
export const anySelect: fc.Arbitrary<KeySelector> = fc.oneof(
  anyKey.map(key => ({ key })),
  fc.constantFrom('', 'a', 'a/', 'b', 'z').map(prefix => ({ prefix })),
)
const anyValue = fc.constantFrom('', 'x', 'y', 'long value').map(text => Buffer.from(text))
const op = fc.constantFrom('=', '!=', '<', '>') as fc.Arbitrary<'=' | '!=' | '<' | '>'>
const anyCompare: fc.Arbitrary<Compare> = fc.oneof(
  fc
    .tuple(anyKey, fc.constantFrom('version', 'createRevision', 'modRevision'), op, fc.nat(6))
    .map(([key, target, op, value]) => ({ key, target, op, value }) as Compare),
  fc.tuple(anyKey, op, anyValue).map(([key, op, value]) => ({ key, target: 'value', op, value }) as Compare),
)
const anyOperation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.tuple(anyKey, anyValue).map(([key, value]) => ({ type: 'put', key, value }) as const),
  },
  { weight: 2, arbitrary: anyKey.map(key => ({ type: 'delete', key }) as const) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('a/', 'b', 'none').map(prefix => ({ type: 'delete-prefix', prefix }) as const),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(anySelect, fc.nat(3))
      .map(([select, limit]) => ({ type: 'range', select, options: { limit } }) as const),
  },
)

/** Drops what etcd's rule against changing a key twice forbids. */
function withoutDuplicates(operations: readonly Operation[]): Operation[] {
  const kept: Operation[] = []
  for (const operation of operations) {
    const clashes = kept.some(other => clash(other, operation) || clash(operation, other))
    if (!clashes) kept.push(operation)
  }
  return kept
}

function clash(a: Operation, b: Operation): boolean {
  if (a.type !== 'put') return false
  if (b.type === 'put' || b.type === 'delete') return a.key === b.key
  return b.type === 'delete-prefix' && a.key.startsWith(b.prefix)
}

const anyBranch = fc.array(anyOperation, { maxLength: 4 }).map(withoutDuplicates)

export const anyTransaction: fc.Arbitrary<Transaction> = fc.record(
  { compare: fc.array(anyCompare, { maxLength: 2 }), success: anyBranch, failure: anyBranch },
  { requiredKeys: ['success'] },
)
