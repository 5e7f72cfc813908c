/**
 * Random work for metadata stores: what a round of it asks for depends on the seed, and on the state that the store is
 * in where it names revisions. Keys meet often, some order differently as UTF-8 and as UTF-16.
 */
import { type SeededRandom } from '../../../broker/env-memory/random.ts'
import {
  type Compare,
  type KeySelector,
  type KeyValue,
  type LeaseId,
  MAX_TRANSACTION_OPERATIONS,
  type Operation,
  type RangeOptions,
  type Transaction,
} from '../../../broker/metastore/metastore.ts'
import { checkShape } from '../../../broker/metastore/rules.ts'

/** What the work may refer to: the state as it is before the round. */
export interface View {
  readonly revision: number
  readonly compactRevision: number
  readonly entries: ReadonlyMap<string, KeyValue>
  /** Leases that live. */
  readonly leases: readonly LeaseId[]
}

export const KEYS: readonly string[] = [
  ...['a', 'a/', 'a/1', 'a/2', 'a/22', 'a/3', 'b', 'b/1', 'b/1/x', 'c', 'd\0', 'd\0\0'],
  ...['é', 'e/\u{1F600}', 'e/\uFFFD', 'e/\uE000', '\u{10FFFF}', '\u{10FFFF}/1', '~'],
  ...Array.from({ length: 30 }, (_, index) => `many/${index}`),
]
const PREFIXES: readonly string[] = [
  '',
  '',
  '',
  'a',
  'a/',
  'b',
  'd\0',
  'e/',
  'many/',
  'many/1',
  '\u{10FFFF}',
  'none',
]
const VALUES: readonly Uint8Array[] = ['', 'x', 'y', '\0', 'ÿ', 'a longer value', 'z'.repeat(700)].map(text =>
  Buffer.from(text),
)
const OPS = ['=', '!=', '<', '>'] as const

export class Workload {
  readonly random: SeededRandom

  constructor(random: SeededRandom) {
    this.random = random
  }

  pick<T>(items: readonly T[]): T {
    const item = items[this.random.int(items.length)]
    if (item === undefined) throw new Error('there is nothing to pick from')
    return item
  }

  /** True once in so many times. */
  rarely(times: number): boolean {
    return this.random.int(times) === 0
  }

  select(): KeySelector {
    return this.rarely(2) ? { key: this.pick(KEYS) } : { prefix: this.pick(PREFIXES) }
  }

  /** Revisions that can be read, unless `faulty`. */
  rangeOptions(view: View, faulty = false): RangeOptions {
    const oldest = Math.max(1, view.compactRevision)
    const revision = faulty
      ? this.pick([view.revision + 1000, Math.max(1, view.compactRevision - 1)])
      : oldest + this.random.int(view.revision - oldest + 1)
    return {
      ...(faulty || this.rarely(3) ? { revision } : {}),
      ...(this.rarely(3) ? { limit: this.random.int(4) } : {}),
      ...(this.rarely(6) ? { countOnly: true } : {}),
      ...(this.rarely(4) ? { after: this.pick([...KEYS, 'a/2\0', 'zzz']) } : {}),
    }
  }

  transaction(view: View): Transaction {
    const size = this.rarely(12)
      ? 1 + this.random.int(MAX_TRANSACTION_OPERATIONS)
      : this.random.int(this.rarely(3) ? 30 : 9)
    return {
      ...(this.rarely(2) ? { compare: this.#many(this.random.int(4), () => this.#compare(view)) } : {}),
      success: this.#branch(view, size),
      ...(this.rarely(2) ? { failure: this.#branch(view, this.random.int(6)) } : {}),
    }
  }

  /** Keys that have one lease go together when it ends, and in order. */
  underOneLease(lease: LeaseId): Transaction {
    const keys = KEYS.filter(key => !key.startsWith('many/') || this.rarely(4))
    return { success: keys.map(key => ({ type: 'put', key, value: VALUES[1]!, lease })) }
  }

  /** One that is refused, for one reason, whatever the state is. */
  refused(view: View, deadLease: LeaseId): Transaction {
    const put: Operation = { type: 'put', key: 'a/1', value: VALUES[1]! }
    const range: Operation = {
      type: 'range',
      select: this.select(),
      options: { revision: view.revision + 1000 },
    }
    const success = this.pick<readonly Operation[]>([
      [{ ...put, lease: deadLease }],
      [put, put],
      [put, { type: 'delete-prefix', prefix: 'a' }],
      [{ type: 'delete', key: 'a/1' }, put],
      this.#many(MAX_TRANSACTION_OPERATIONS + 1, () => range),
      [put, range],
      ...(view.compactRevision > 2
        ? [[put, { ...range, options: { revision: view.compactRevision - 1 } }]]
        : []),
    ])
    return { success }
  }

  #branch(view: View, size: number): Operation[] {
    const operations: Operation[] = []
    for (let i = 0; i < size; i++) {
      operations.push(this.#operation(view))
      if (!isAllowed(operations)) operations.pop()
    }
    return operations
  }

  #operation(view: View): Operation {
    const dice = this.random.int(20)
    if (dice < 9) {
      const lease = view.leases.length > 0 && this.rarely(4) ? this.pick(view.leases) : null
      return { type: 'put', key: this.pick(KEYS), value: this.pick(VALUES), lease }
    }
    if (dice < 13) return { type: 'delete', key: this.pick(KEYS) }
    if (dice < 14) return { type: 'delete-prefix', prefix: this.pick(PREFIXES.slice(3)) }
    return { type: 'range', select: this.select(), options: this.rangeOptions(view) }
  }

  #compare(view: View): Compare {
    const key = this.pick(KEYS)
    const entry = view.entries.get(key)
    const op = this.rarely(3) ? this.pick(OPS) : '='
    const target = this.pick(['version', 'createRevision', 'modRevision', 'value', 'lease'] as const)
    if (target === 'value') {
      return { key, target, op, value: this.rarely(2) ? (entry?.value ?? VALUES[0]!) : this.pick(VALUES) }
    }
    if (target === 'lease') {
      return { key, target, op, value: this.pick([null, entry?.lease ?? null, ...view.leases]) }
    }
    const delta = this.rarely(3) ? this.random.int(3) - 1 : 0
    return { key, target, op, value: (entry?.[target] ?? 0) + delta }
  }

  #many<T>(count: number, make: () => T): T[] {
    return Array.from({ length: count }, make)
  }
}

function isAllowed(success: readonly Operation[]): boolean {
  try {
    checkShape({ success })
    return true
  } catch {
    return false
  }
}
