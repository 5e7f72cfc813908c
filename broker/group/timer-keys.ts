/**
 * Names of timers: what is to be looked at when one runs out. Group and member ids are chosen by strangers and may hold
 * any character, so the length of the first tells where the second begins.
 */

export type TimerKind =
  /** The session of a classic member, or of one that has been given an id and has not come back with it. */
  | 'session'
  /** The join phase of a classic group. */
  | 'join'
  /** The sync phase of a classic group. */
  | 'sync'
  /** The session of a member of a consumer group. */
  | 'member-session'
  /** How long a member of a consumer group may keep partitions that it has been told to give up. */
  | 'member-revoke'
  /** How long a classic member of a consumer group may take to rejoin, and to sync. */
  | 'member-join'
  | 'member-sync'
  /** When the next target of a consumer group may be computed. */
  | 'target'
  /** The next search for expired offsets in the shard. */
  | 'expiry'

export interface TimerName {
  readonly kind: TimerKind
  readonly groupId: string
  readonly memberId: string
}

export function timerKey(kind: TimerKind, groupId = '', memberId = ''): string {
  return `${kind}:${groupId.length}:${groupId}${memberId}`
}

/** `key` was made by `timerKey`. */
export function parseTimerKey(key: string): TimerName {
  const first = key.indexOf(':')
  const second = key.indexOf(':', first + 1)
  const length = Number(key.slice(first + 1, second))
  return {
    kind: key.slice(0, first) as TimerKind,
    groupId: key.slice(second + 1, second + 1 + length),
    memberId: key.slice(second + 1 + length),
  }
}
