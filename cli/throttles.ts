/**
 * The throttle of a move of partitions, as kafka-reassign-partitions sets it: rates at the brokers that take part, and
 * at the topics the replicas that they hold for. Who sets one is told where it is left behind.
 */
import type { Admin, ConfigChange, ConfigDescription, PartitionOfTopic } from '../client/index.ts'

const RATES = ['leader.replication.throttled.rate', 'follower.replication.throttled.rate'] as const
const LEADERS = 'leader.replication.throttled.replicas'
const FOLLOWERS = 'follower.replication.throttled.replicas'

export interface ThrottledMove extends PartitionOfTopic {
  readonly from: readonly number[]
  readonly to: readonly number[]
}

/** By topic: replicas as `partition:broker`. */
export interface ThrottledTopic {
  readonly topic: string
  readonly leaders: readonly string[]
  readonly followers: readonly string[]
}

export interface Throttle {
  readonly topics: readonly ThrottledTopic[]
  readonly brokers: readonly number[]
}

/** Those that have a partition send, those that it comes to copy. Pure. */
export function throttleOf(moves: readonly ThrottledMove[]): Throttle {
  const topics = new Map<string, { topic: string; leaders: string[]; followers: string[] }>()
  const brokers = new Set<number>()
  for (const { topic, partition, from, to } of moves) {
    let entry = topics.get(topic)
    if (entry === undefined) topics.set(topic, (entry = { topic, leaders: [], followers: [] }))
    entry.leaders.push(...from.map(broker => `${partition}:${broker}`))
    entry.followers.push(
      ...to.filter(broker => !from.includes(broker)).map(broker => `${partition}:${broker}`),
    )
    for (const broker of [...from, ...to]) brokers.add(broker)
  }
  return { topics: [...topics.values()], brokers: [...brokers].sort((a, b) => a - b) }
}

/** To be done before the move begins. A broker that is not there sends and copies nothing, and cannot be told. */
export async function setThrottle(
  admin: Admin,
  { topics, brokers }: Throttle,
  bytesPerSecond: number,
  signal: AbortSignal,
): Promise<void> {
  const there = await brokersThere(admin, signal)
  const rates = RATES.map(name => ({ name, op: 'set' as const, value: String(bytesPerSecond) }))
  await admin.incrementalAlterConfigs({
    resources: [
      ...brokers
        .filter(broker => there.includes(broker))
        .map(broker => ({ type: 'broker' as const, name: String(broker), changes: rates })),
      ...topics.map(({ topic, leaders, followers }) => ({
        type: 'topic' as const,
        name: topic,
        changes: [
          { name: LEADERS, op: 'append' as const, value: leaders.join(',') },
          { name: FOLLOWERS, op: 'append' as const, value: followers.join(',') },
        ],
      })),
    ],
    signal,
  })
}

/** What throttles replication anywhere in the cluster. Empty where nothing does. */
export async function throttlesOf(admin: Admin, signal: AbortSignal): Promise<Throttle> {
  const names = (await admin.listTopics({ internal: true, signal })).map(({ topic }) => topic)
  const brokers = await brokersThere(admin, signal)
  const described = await admin.describeConfigs({
    resources: [
      ...brokers.map(broker => ({ type: 'broker' as const, name: String(broker), names: RATES })),
      ...names.map(name => ({ type: 'topic' as const, name, names: [LEADERS, FOLLOWERS] })),
    ],
    signal,
  })
  const topics: ThrottledTopic[] = []
  const slowed: number[] = []
  for (const description of described) {
    const { type, name, entries } = description
    if (type === 'broker') {
      if (entries.some(({ source }) => source === 'dynamic-broker')) slowed.push(Number(name))
    } else if (entries.some(({ source }) => source === 'topic')) {
      topics.push({
        topic: name,
        leaders: itemsOf(description, LEADERS),
        followers: itemsOf(description, FOLLOWERS),
      })
    }
  }
  return { topics, brokers: slowed }
}

export function isThrottling({ topics, brokers }: Throttle): boolean {
  return topics.length > 0 || brokers.length > 0
}

/**
 * Takes the throttle back. What others have set at the same topics stays, and so do the rates while anything else is
 * being moved: then it resolves with false.
 */
export async function removeThrottle(
  admin: Admin,
  throttle: Throttle,
  signal: AbortSignal,
): Promise<boolean> {
  const isLast = (await admin.listPartitionReassignments({ signal })).length === 0
  const now = await throttlesOf(admin, signal)
  const resources = throttle.topics.flatMap(({ topic, leaders, followers }) => {
    const there = now.topics.find(each => each.topic === topic)
    if (there === undefined) return []
    const changes = [without(LEADERS, there.leaders, leaders), without(FOLLOWERS, there.followers, followers)]
    return [{ type: 'topic' as const, name: topic, changes }]
  })
  const rates = RATES.map(name => ({ name, op: 'delete' as const }))
  const slowed = isLast ? now.brokers.filter(broker => throttle.brokers.includes(broker)) : []
  const brokers = slowed.map(broker => ({ type: 'broker' as const, name: String(broker), changes: rates }))
  if (resources.length + brokers.length > 0) {
    await admin.incrementalAlterConfigs({ resources: [...resources, ...brokers], signal })
  }
  return isLast
}

/** For the person who may have forgotten it. Pure. */
export function describeThrottle({ topics, brokers }: Throttle): string {
  const parts = []
  if (brokers.length > 0) parts.push(`broker${brokers.length === 1 ? '' : 's'} ${brokers.join(', ')}`)
  if (topics.length > 0) {
    const names = topics.map(({ topic }) => topic).join(', ')
    parts.push(`topic${topics.length === 1 ? '' : 's'} ${names}`)
  }
  return `Replication is still throttled at ${parts.join(' and ')}. Remove that with sluice partition status --remove-throttle.`
}

function without(name: string, items: readonly string[], own: readonly string[]): ConfigChange {
  const left = items.filter(item => !own.includes(item))
  return left.length === 0 ? { name, op: 'delete' } : { name, op: 'set', value: left.join(',') }
}

function itemsOf({ entries }: ConfigDescription, name: string): string[] {
  const value = entries.find(entry => entry.name === name)?.value ?? ''
  return value
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== '')
}

async function brokersThere(admin: Admin, signal: AbortSignal): Promise<number[]> {
  const { brokers } = await admin.describeCluster({ signal })
  return brokers.map(({ id }) => id)
}
