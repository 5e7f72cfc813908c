/**
 * `cooperative-sticky` (KIP-429): as `sticky`, but members keep reading during a rebalance. A partition that is to move
 * is left out of the assignment until its owner, who sees that it is missing, has let go and joined again; only then
 * the next rebalance gives it to its new owner.
 */
import { Writer } from '../../protocol/writer.ts'
import { type TopicPartition } from '../types.ts'
import { type Assignor, type AssignorInput, type GroupAssignment } from './assignor.ts'
import { balance, keyOf } from './sticky-balance.ts'

export const cooperativeStickyAssignor: Assignor = {
  name: 'cooperative-sticky',
  cooperative: true,
  // Java's layout: just the generation. Since version 2 of the subscription it stands there as well (KIP-792).
  userData(_owned, generation) {
    const writer = new Writer(4)
    writer.int32(generation)
    return writer.concat()
  },
  assign(input) {
    const members = input.members.map(member => ({
      memberId: member.memberId,
      topics: member.topics,
      previous: member.owned,
      generation: member.generation >= 0 ? member.generation : generationIn(member.userData),
    }))
    return withoutMoving(balance(members, input), input)
  },
}

function generationIn(userData: Uint8Array | null): number {
  if (userData === null || userData.byteLength < 4) return -1
  return new DataView(userData.buffer, userData.byteOffset).getInt32(0)
}

/** Even a claim of an old generation counts: its member may be reading the partition until it is told to stop. */
function withoutMoving(balanced: Map<string, TopicPartition[]>, { members }: AssignorInput): GroupAssignment {
  const owners = new Map<string, string[]>()
  for (const { memberId, owned } of members) {
    for (const place of owned) {
      const key = keyOf(place)
      const others = owners.get(key)
      if (others === undefined) owners.set(key, [memberId])
      else others.push(memberId)
    }
  }
  const assignment = new Map<string, TopicPartition[]>()
  for (const [memberId, places] of balanced) {
    assignment.set(
      memberId,
      places.filter(place => (owners.get(keyOf(place)) ?? []).every(owner => owner === memberId)),
    )
  }
  return assignment
}
