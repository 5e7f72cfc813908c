/**
 * Which topics a consumer group reads: those that its members name, and those that their patterns match.
 */
import { assert } from '../../client/protocol/assert.ts'
import { type TopicInfo, type TopicsView } from './config.ts'
import { type ConsumerMember, type ResolvedPattern } from './consumer-group.ts'

type Subscribing = Pick<ConsumerMember, 'subscribedTopicNames' | 'subscribedTopicRegex'>

/** What some members subscribe to, and how many they are. */
export interface CountedSubscription {
  readonly names: readonly string[]
  readonly pattern: string | null
  readonly count: number
}

/** What a group says of its subscriptions; a group, or the draft of one. */
export interface Subscribers {
  readonly subscriptions: { values(): Iterable<CountedSubscription> }
  readonly patterns: { get(pattern: string): ResolvedPattern | undefined }
}

export function subscribeAlike(one: Subscribing, other: Subscribing): boolean {
  const left = one.subscribedTopicNames
  const right = other.subscribedTopicNames
  if (one.subscribedTopicRegex !== other.subscribedTopicRegex) return false
  return (
    left === right || (left.length === right.length && left.every((name, index) => name === right[index]))
  )
}

/** One member more, or less, that subscribes like this. */
export function countSubscription(
  counts: {
    get(key: string): CountedSubscription | undefined
    set(key: string, counted: CountedSubscription): unknown
    delete(key: string): unknown
  },
  { subscribedTopicNames, subscribedTopicRegex: pattern }: Subscribing,
  change: 1 | -1,
): CountedSubscription {
  const key = JSON.stringify([pattern, subscribedTopicNames])
  const known = counts.get(key)
  const counted = {
    names: known?.names ?? subscribedTopicNames,
    pattern,
    count: (known?.count ?? 0) + change,
  }
  assert(counted.count >= 0, 'a subscription is counted before it is given up')
  if (counted.count === 0) counts.delete(key)
  else counts.set(key, counted)
  return counted
}

/** All names that any member subscribes to, whether there is such a topic or not. */
export function subscribedNames(group: Subscribers): Set<string> {
  const names = new Set<string>()
  const patterns = new Set<string>()
  for (const subscription of group.subscriptions.values()) {
    for (const name of subscription.names) names.add(name)
    if (subscription.pattern !== null) patterns.add(subscription.pattern)
  }
  for (const pattern of patterns)
    for (const name of group.patterns.get(pattern)?.topics ?? []) names.add(name)
  return names
}

export function isSubscribedTo(group: Subscribers): (topic: string) => boolean {
  const names = subscribedNames(group)
  return topic => names.has(topic)
}

/**
 * A number that changes with the topics that the group reads: which there are, their partitions and their racks.
 * Zero for none. 64 bits of FNV-1a, as two lanes of 32.
 */
export function hashOfTopics(names: ReadonlySet<string>, topics: TopicsView): bigint {
  const known = Array.from(names, name => topics.byName(name)).filter(topic => topic !== undefined)
  if (known.length === 0) return 0n
  known.sort((left, right) => (left.name < right.name ? -1 : 1))
  const lanes = new Int32Array([0x811c_9dc5, 0x050c_5d1f])
  for (const topic of known) mixTopic(lanes, topic)
  return BigInt.asIntN(64, (BigInt(lanes[0]! >>> 0) << 32n) | BigInt(lanes[1]! >>> 0))
}

function mixTopic(lanes: Int32Array, topic: TopicInfo): void {
  mixText(lanes, `${topic.name}\n${topic.topicId}\n${topic.partitionCount}\n`)
  for (const racks of topic.racks ?? []) mixText(lanes, `${[...racks].sort().join(',')}\n`)
}

function mixText(lanes: Int32Array, text: string): void {
  let one = lanes[0]!
  let other = lanes[1]!
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    one = Math.imul(one ^ unit, 0x0100_0193)
    other = Math.imul(other ^ unit ^ (one >>> 15), 0x0100_01b3)
  }
  lanes[0] = one
  lanes[1] = other
}
