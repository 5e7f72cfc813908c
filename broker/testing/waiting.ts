/**
 * Waiting in tests: for records, or for anything else that somebody brings about. It looks again every few
 * milliseconds; whoever waits in vain is told what was there instead.
 */
import { type Env } from '../env.ts'
import { type PartitionHost } from '../runtime/partition-host.ts'
import { type StoredRecord, storedRecords } from './stored-records.ts'

export interface WaitOptions {
  /** Default 5,000. */
  readonly timeoutMs?: number
}

/** So many, or such that the function is content with them. */
export type WantedRecords = number | ((records: readonly StoredRecord[]) => boolean)

type WaitingEnv = Pick<Env, 'clock' | 'timers'>

const POLL_MS = 5
const TIMEOUT_MS = 5000

/** Resolves to the first value that is not null. Rejects after the time, with what `missing` then says. */
export async function waitFor<T>(
  env: WaitingEnv,
  look: () => T | null | Promise<T | null>,
  missing: (timeoutMs: number) => string,
  { timeoutMs = TIMEOUT_MS }: WaitOptions = {},
): Promise<T> {
  const deadlineMs = env.clock.monotonicMs() + timeoutMs
  for (;;) {
    // What came with the deadline still counts.
    const isLate = env.clock.monotonicMs() >= deadlineMs
    const found = await look()
    if (found !== null) return found
    if (isLate) throw new Error(missing(timeoutMs))
    await new Promise<void>(wake => void env.timers.set(POLL_MS, wake))
  }
}

/** The committed records of these partitions, by partition and offset. */
export async function recordsOf(hosts: readonly PartitionHost[]): Promise<StoredRecord[]> {
  const all = await Promise.all(hosts.map(host => storedRecords(host.partition, host)))
  return all.flat()
}

export async function waitForRecords(
  env: WaitingEnv,
  topic: string,
  hosts: () => readonly PartitionHost[],
  wanted: WantedRecords,
  options: WaitOptions = {},
): Promise<StoredRecord[]> {
  const isEnough =
    typeof wanted === 'number' ? (records: readonly StoredRecord[]) => records.length >= wanted : wanted
  let seen: string | null = null
  let records: StoredRecord[] = []
  const look = async (): Promise<StoredRecord[] | null> => {
    const ends = hosts()
      .map(host => `${host.partition}:${host.leaderEpoch}:${host.describe().highWatermark}`)
      .join()
    // Reading a log is dear: only where something has come.
    if (ends === seen) return null
    seen = ends
    records = await recordsOf(hosts())
    return isEnough(records) ? records : null
  }
  return waitFor(env, look, timeoutMs => missing(topic, wanted, records, timeoutMs), options)
}

function missing(
  topic: string,
  wanted: WantedRecords,
  records: readonly StoredRecord[],
  timeoutMs: number,
): string {
  const want = typeof wanted === 'number' ? `${wanted} records` : 'the records waited for'
  const shown = records.slice(-5).map(({ partition, offset, key, value }) => {
    const text = value === null || value.length <= 60 ? value : `${value.slice(0, 60)}...`
    return `\n  ${topic}-${partition}@${offset} ${JSON.stringify({ key, value: text })}`
  })
  const last = records.length > 5 ? ', the last of them' : ''
  const there = records.length === 0 ? 'it holds none' : `it holds ${records.length}${last}:${shown.join('')}`
  return `After ${timeoutMs} ms topic ${topic} does not hold ${want}: ${there}`
}
