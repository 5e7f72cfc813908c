/** Rules of transactions and selections that need no state. */
import {
  type CompareOp,
  type KeySelector,
  type LeaseId,
  MAX_TRANSACTION_OPERATIONS,
  MetaStoreError,
  type Operation,
  type Revision,
  type Transaction,
} from './metastore.ts'

/** Throws for a transaction that is refused whatever the state is. */
export function checkShape(transaction: Transaction): void {
  const { compare = [], success = [], failure = [] } = transaction
  const operations = Math.max(compare.length, success.length, failure.length)
  if (operations > MAX_TRANSACTION_OPERATIONS) {
    throw new MetaStoreError(
      'TOO_MANY_OPERATIONS',
      `A transaction has ${operations} conditions or operations; the limit is ${MAX_TRANSACTION_OPERATIONS} of each. ` +
        'Split it.',
    )
  }
  checkDuplicates(success)
  checkDuplicates(failure)
}

export function isSelected(key: string, select: KeySelector): boolean {
  return 'key' in select ? key === select.key : key.startsWith(select.prefix)
}

export function matches(difference: number, op: CompareOp): boolean {
  switch (op) {
    case '=':
      return difference === 0
    case '!=':
      return difference !== 0
    case '<':
      return difference < 0
    case '>':
      return difference > 0
    default:
      return op satisfies never
  }
}

/** As in etcd: a key may be put once, and not be deleted by the same branch. Deleting twice is harmless. */
function checkDuplicates(operations: readonly Operation[]): void {
  const put = new Set<string>()
  for (const operation of operations) {
    if (operation.type !== 'put') continue
    if (put.has(operation.key)) throw duplicateKey(operation.key)
    put.add(operation.key)
  }
  for (const operation of operations) {
    if (operation.type === 'delete' && put.has(operation.key)) throw duplicateKey(operation.key)
    if (operation.type !== 'delete-prefix') continue
    for (const key of put) if (key.startsWith(operation.prefix)) throw duplicateKey(key)
  }
}

function duplicateKey(key: string): MetaStoreError {
  return new MetaStoreError(
    'DUPLICATE_KEY',
    `The key ${JSON.stringify(key)} is changed twice in one transaction.`,
  )
}

export function futureRevision(revision: Revision, current: Revision): MetaStoreError {
  return new MetaStoreError(
    'FUTURE_REVISION',
    `Revision ${revision} is yet to come; the store is at ${current}.`,
  )
}

export function leaseNotFound(lease: LeaseId): MetaStoreError {
  return new MetaStoreError('LEASE_NOT_FOUND', `There is no lease ${lease}: it has expired or was revoked.`)
}
