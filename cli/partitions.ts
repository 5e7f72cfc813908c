/** Partitions as they are named on the command line, and what is asked about them. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin, LogDirDescription, PartitionOfTopic, PartitionReassignment } from '../client/index.ts'
import { usageError } from './errors.ts'

/** `orders` is all of its partitions, `orders:0` and `orders:0,2` are some. Throws CliError. */
export function parsePartitions(text: string): {
  readonly topic: string
  readonly partitions: number[] | null
} {
  const match = /^([\w.-]{1,249})(?::(\d+(?:,\d+)*))?$/.exec(text)
  if (match === null) {
    throw usageError(`${JSON.stringify(text)} names no partitions: write TOPIC, TOPIC:N or TOPIC:N,N.`)
  }
  return { topic: match[1]!, partitions: match[2] === undefined ? null : match[2].split(',').map(Number) }
}

/** The partitions that are meant, each once. Throws where there is no such topic or partition. */
export async function namedPartitions(
  admin: Admin,
  named: readonly string[],
  signal: AbortSignal,
): Promise<PartitionOfTopic[]> {
  const wanted = named.map(parsePartitions)
  const described = await admin.describeTopics({
    topics: [...new Set(wanted.map(({ topic }) => topic))],
    signal,
  })
  const found = new Map<string, PartitionOfTopic>()
  for (const { topic, partitions } of wanted) {
    const count = described.find(each => each.topic === topic)?.partitions.length ?? 0
    for (const partition of partitions ?? Array.from({ length: count }, (_, index) => index)) {
      if (partition >= count) throw usageError(`${topic} has no partition ${partition}; it has ${count}.`)
      found.set(`${topic}:${partition}`, { topic, partition })
    }
  }
  return [...found.values()]
}

/** Ids of brokers, as `3,1,2`. Throws CliError. */
export function parseBrokers(text: string): number[] {
  if (!/^\d+(,\d+)*$/.test(text))
    throw usageError(`${JSON.stringify(text)} is no list of brokers: write 1,2,3.`)
  const brokers = text.split(',').map(Number)
  if (new Set(brokers).size !== brokers.length) throw usageError(`${text} names a broker twice.`)
  return brokers
}

/**
 * Who gets a partition: `count` of the brokers, beginning one further for each partition, so that all of them lead
 * alike. Pure.
 */
export function placeOn(brokers: readonly number[], count: number, turn: number): number[] {
  return Array.from({ length: count }, (_, index) => brokers[(turn + index) % brokers.length]!)
}

export interface Move extends PartitionReassignment {
  /** Bytes that the new replicas have, of those that they shall have; null where the brokers do not tell. */
  readonly copiedBytes: number | null
  readonly totalBytes: number | null
}

/** The moves that are under way, with how far they are. */
export async function movesUnderWay(
  admin: Admin,
  partitions: readonly PartitionOfTopic[] | undefined,
  signal: AbortSignal,
): Promise<Move[]> {
  const moving = await admin.listPartitionReassignments({
    ...(partitions === undefined ? {} : { partitions }),
    signal,
  })
  if (moving.length === 0) return []
  const topics = [...new Set(moving.map(({ topic }) => topic))]
  // How far they are is an extra: a broker that does not answer must not hide that they are under way.
  const directories = await admin.describeLogDirs({ topics, signal }).catch((): LogDirDescription[] => [])
  return moving.map(move => ({ ...move, ...progressOf(move, directories) }))
}

/** Pure. The largest replica is taken for the whole. */
export function progressOf(
  { topic, partition, adding }: PartitionReassignment,
  directories: readonly LogDirDescription[],
): { readonly copiedBytes: number | null; readonly totalBytes: number | null } {
  const sizes = new Map<number, number>()
  for (const { broker, replicas } of directories) {
    const own = replicas.find(replica => replica.topic === topic && replica.partition === partition)
    if (own !== undefined) sizes.set(broker, own.sizeBytes)
  }
  if (sizes.size === 0) return { copiedBytes: null, totalBytes: null }
  const whole = Math.max(...sizes.values())
  const copied = adding.reduce((sum, broker) => sum + Math.min(whole, sizes.get(broker) ?? 0), 0)
  return { copiedBytes: copied, totalBytes: whole * adding.length }
}

const BAR_WIDTH = 24

/** `[######------] 52 %`, or nothing where it is not known. Pure. */
export function progressBar(copiedBytes: number | null, totalBytes: number | null): string {
  if (copiedBytes === null || totalBytes === null) return ''
  const part = totalBytes === 0 ? 1 : Math.min(1, copiedBytes / totalBytes)
  const filled = Math.floor(part * BAR_WIDTH)
  return `[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}] ${Math.floor(part * 100)} %`
}

const LOOK_EVERY_MS = 500

/** Looks until nothing of it is under way any more. Rejects with the signal's reason when that fires. */
export async function untilMoved(
  admin: Admin,
  partitions: readonly PartitionOfTopic[],
  signal: AbortSignal,
  show: (moves: readonly Move[]) => Promise<void> | void,
): Promise<void> {
  for (;;) {
    const moves = await movesUnderWay(admin, partitions, signal)
    await show(moves)
    if (moves.length === 0) return
    await sleep(LOOK_EVERY_MS, undefined, { signal })
  }
}
