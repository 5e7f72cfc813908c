/** What may differ between one broker and several: who leads, who has copies, who there is. */
import { ErrorCode } from '../../../client/protocol/errors.ts'

const PLACES: ReadonlySet<string> = new Set([
  ...['leaderId', 'controllerId', 'nodeId', 'brokers', 'nodeEndpoints', 'coordinator'],
  ...['replicaNodes', 'isrNodes', 'offlineReplicas', 'eligibleLeaderReplicas', 'lastKnownElr'],
  ...['replicationFactor', 'currentLeader', 'usableBytes', 'totalBytes'],
])

/** What tells how often leaders have changed. */
const EPOCHS: ReadonlySet<string> = new Set(['leaderEpoch', 'epoch'])

/** The answer without them; and without leader epochs, where `changes` of leaders are not to be seen; lists are sorted anew, since what they were sorted by may be gone. */
export function withoutTopology(value: unknown, changes = false): unknown {
  if (Array.isArray(value)) {
    const items = value.map(item => withoutTopology(item, changes))
    const isOrdered = items.every(item => typeof item !== 'object' || item === null)
    return isOrdered ? items : items.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
  }
  if (typeof value !== 'object' || value === null) return value
  // How much of it comes at once is the broker's choice: what is read from files ends where the cache begins.
  if (changes && 'records' in value && typeof value.records === 'string')
    return withoutTopology({ ...value, records: [value.records.split(' ')[0]] }, changes)
  const kept = Object.entries(value).filter(([name]) => !PLACES.has(name) && !(changes && EPOCHS.has(name)))
  if (changes && 'errorCode' in value && value.errorCode === ErrorCode.ELECTION_NOT_NEEDED)
    return withoutTopology({ ...value, errorCode: ErrorCode.NONE, errorMessage: null }, changes)
  return Object.fromEntries(kept.map(([name, item]) => [name, withoutTopology(item, changes)]))
}
