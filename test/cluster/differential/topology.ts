/** What may differ between one broker and several: who leads, who has copies, who there is. */
import { ErrorCode } from '../../../client/protocol/errors.ts'

const PLACES: ReadonlySet<string> = new Set([
  ...['leaderId', 'controllerId', 'nodeId', 'brokers', 'nodeEndpoints', 'coordinator'],
  ...['replicaNodes', 'isrNodes', 'offlineReplicas', 'eligibleLeaderReplicas', 'lastKnownElr'],
  ...['replicationFactor', 'currentLeader', 'usableBytes', 'totalBytes'],
])

/** What tells how often leaders have changed. */
const EPOCHS: ReadonlySet<string> = new Set(['leaderEpoch', 'epoch'])

/**
 * The answer without them, and where leaders have changed without what tells of that. Lists are sorted anew, since what
 * they were sorted by may be gone.
 */
export function withoutTopology(value: unknown, haveChanged = false): unknown {
  if (Array.isArray(value)) {
    const items = value.map(item => withoutTopology(item, haveChanged))
    const isOrdered = items.every(item => typeof item !== 'object' || item === null)
    return isOrdered ? items : items.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  }
  if (typeof value !== 'object' || value === null) return value
  // How much of it comes at once is the broker's choice: what is read from files ends where the cache begins.
  if (haveChanged && 'records' in value && typeof value.records === 'string')
    return withoutTopology({ ...value, records: [value.records.split(' ')[0]] }, haveChanged)
  const kept = Object.entries(value).filter(
    ([name]) => !PLACES.has(name) && !(haveChanged && EPOCHS.has(name)),
  )
  if (haveChanged && 'errorCode' in value && value.errorCode === ErrorCode.ELECTION_NOT_NEEDED)
    return withoutTopology({ ...value, errorCode: ErrorCode.NONE, errorMessage: null }, haveChanged)
  return Object.fromEntries(kept.map(([name, item]) => [name, withoutTopology(item, haveChanged)]))
}
