/**
 * `sticky`: as fair as can be, and with as few moves as that allows. Members give up everything before a rebalance
 * (eager), so what they had last is told in their user data, as the Java client lays it out: an array of topics with
 * partitions, and since its version 2.3 the generation that they are of.
 */
import { MalformedError } from '../../protocol/errors.ts'
import { Reader } from '../../protocol/reader.ts'
import { Writer } from '../../protocol/writer.ts'
import { type TopicPartition } from '../types.ts'
import { type Assignor, type AssignorMember } from './assignor.ts'
import { balance, type StickyMember } from './sticky-balance.ts'

export const stickyAssignor: Assignor = {
  name: 'sticky',
  cooperative: false,
  userData: (owned, generation) => (owned.length === 0 ? null : encodeStickyUserData(owned, generation)),
  assign: input => balance(input.members.map(toStickyMember), input),
}

function toStickyMember(member: AssignorMember): StickyMember {
  const { memberId, topics } = member
  const told = member.userData === null ? null : decodeStickyUserData(member.userData)
  if (told !== null) return { memberId, topics, ...told }
  return { memberId, topics, previous: member.owned, generation: member.generation }
}

export function encodeStickyUserData(owned: readonly TopicPartition[], generation: number): Buffer {
  const byTopic = new Map<string, number[]>()
  for (const { topic, partition } of owned) {
    const partitions = byTopic.get(topic)
    if (partitions === undefined) byTopic.set(topic, [partition])
    else partitions.push(partition)
  }
  const writer = new Writer(64)
  writer.int32(byTopic.size)
  for (const [topic, partitions] of byTopic) {
    writer.string(topic)
    writer.int32(partitions.length)
    for (const partition of partitions) writer.int32(partition)
  }
  writer.int32(generation)
  return writer.concat()
}

/** Null where the bytes make no sense: a member of another kind of client is then taken as one that had nothing. */
export function decodeStickyUserData(
  bytes: Uint8Array,
): { readonly previous: TopicPartition[]; readonly generation: number } | null {
  try {
    const reader = new Reader(bytes)
    const previous: TopicPartition[] = []
    for (let topics = reader.arrayLength(6); topics > 0; topics--) {
      const topic = reader.string()
      for (let left = reader.arrayLength(4); left > 0; left--)
        previous.push({ topic, partition: reader.int32() })
    }
    return { previous, generation: reader.remaining >= 4 ? reader.int32() : -1 }
  } catch (error) {
    if (error instanceof MalformedError) return null
    throw error
  }
}
