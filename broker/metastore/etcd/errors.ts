/**
 * What a failed call to etcd means. The question that matters is whether the call may have been carried out: whatever
 * is not known to be harmless counts as unknown.
 */
import { RpcError } from '../../env.ts'
import { MetaStoreError } from '../metastore.ts'
import { ProtobufError } from './protobuf.ts'

export type Failure =
  /** Etcd understood, and refuses: nothing was done, and nothing will be by asking again. */
  | { readonly kind: 'refused'; readonly error: MetaStoreError }
  /** Nothing was done: our token is not, or no longer, known. */
  | { readonly kind: 'token' }
  /** Nothing was done: another member may do it, or this one later. */
  | { readonly kind: 'not-done' }
  /** Nobody can say whether it was done. */
  | { readonly kind: 'unknown' }

/** Etcd's messages have been the same since 3.0, and are compared by their own client as well. */
const REFUSALS: readonly (readonly [RegExp, () => MetaStoreError])[] = [
  [
    /required revision has been compacted/,
    () =>
      new MetaStoreError(
        'COMPACTED',
        'The revision has been compacted. Read the state anew and go on from its revision.',
      ),
  ],
  [
    /required revision is a future revision/,
    () => new MetaStoreError('FUTURE_REVISION', 'The revision is yet to come.'),
  ],
  [
    /requested lease not found/,
    () => new MetaStoreError('LEASE_NOT_FOUND', 'There is no such lease: it has expired or was revoked.'),
  ],
  [
    /duplicate key given/,
    () => new MetaStoreError('DUPLICATE_KEY', 'A key is changed twice in one transaction.'),
  ],
  [
    // Etcd's words; those of our own library for an answer that is too large begin with a capital.
    /too many operations|request is too large|grpc: received message larger than max/,
    () =>
      new MetaStoreError(
        'TOO_MANY_OPERATIONS',
        'A transaction is larger than etcd is configured to take; nothing was changed. Split it, or raise ' +
          '--max-txn-ops and --max-request-bytes of etcd.',
      ),
  ],
  [
    /database space exceeded/,
    () =>
      new MetaStoreError(
        'UNAVAILABLE',
        'Etcd has reached the limit of its database and takes no changes; nothing was changed. Compact and ' +
          'defragment it, raise --quota-backend-bytes, then clear its alarm with `etcdctl alarm disarm`.',
      ),
  ],
]

const TOKEN =
  /invalid auth token|user name is empty|user name not found|revision (?:in header|of auth store) is old/
const NOT_DONE = /etcdserver: no leader|too many requests|etcdserver: not capable/

export function judge(failure: unknown): Failure {
  if (!(failure instanceof RpcError)) {
    // An answer that cannot be read: something was done, but not what.
    if (failure instanceof ProtobufError) return { kind: 'unknown' }
    throw failure
  }
  const { message } = failure
  for (const [pattern, make] of REFUSALS) if (pattern.test(message)) return { kind: 'refused', error: make() }
  if (TOKEN.test(message) || failure.status === 'UNAUTHENTICATED') return { kind: 'token' }
  if (failure.status === 'PERMISSION_DENIED') return { kind: 'refused', error: permissionDenied(failure) }
  if (failure.status === 'INVALID_ARGUMENT' || failure.status === 'UNIMPLEMENTED') {
    return { kind: 'refused', error: misunderstood(failure) }
  }
  if (NOT_DONE.test(message)) return { kind: 'not-done' }
  return { kind: 'unknown' }
}

export function permissionDenied(cause: unknown): MetaStoreError {
  return new MetaStoreError(
    'ACCESS_DENIED',
    `Etcd does not allow this (${reasonOf(cause)}). Give the user that the broker names a role that may read and ` +
      'write its keys (`etcdctl role grant-permission`).',
    { cause },
  )
}

function misunderstood(cause: RpcError): MetaStoreError {
  return new MetaStoreError(
    'UNSUPPORTED',
    `Etcd does not understand a request (${cause.message}), nothing was changed. Check that the address is that of ` +
      'an etcd and not of a proxy or a gateway; if it is, this is a bug of the broker: report it.',
    { cause },
  )
}

export function loginFailed(cause: unknown): MetaStoreError {
  return new MetaStoreError(
    'ACCESS_DENIED',
    `Etcd does not accept the broker's user or password (${reasonOf(cause)}). Correct them, or look at the user with ` +
      '`etcdctl user get`.',
    { cause },
  )
}

export function unknownOutcome(cause: unknown): MetaStoreError {
  return new MetaStoreError(
    'UNKNOWN_OUTCOME',
    `The answer to a change was lost (${reasonOf(cause)}): it may have been made, may yet be made, or never. Read ` +
      'what it would have changed before acting.',
    { cause },
  )
}

export function unavailable(reason: string, cause?: unknown): MetaStoreError {
  return new MetaStoreError(
    'UNAVAILABLE',
    `Etcd did not answer in time, nothing was changed: ${reason}. Check that a majority of its members run and can be ` +
      'reached, and that the addresses are right.',
    { cause },
  )
}

export function closedError(): MetaStoreError {
  return new MetaStoreError('CLOSED', 'The metadata store has been closed.')
}

export function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
