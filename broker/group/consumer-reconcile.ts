/**
 * One step of a member of a consumer group towards its target (KIP-848). A partition is given to a member only when
 * nobody else has it, and what a member has to give up it gives up first:
 *
 *                                     it has given them up
 *              +-- UNREVOKED_PARTITIONS ---------------------+
 *              |   something must go                         v
 *   STABLE ----+-------------------------------> the target's epoch, with what is free of the target:
 *              |                                   UNRELEASED_PARTITIONS where something is missing,
 *              +--<------------------------------  else STABLE
 */
import { type TopicId } from '../../client/protocol/types.ts'
import { type ConsumerMember, MemberState } from './consumer-group.ts'
import { intersects, NO_PARTITIONS, type PartitionSet, split, union } from './partition-sets.ts'

export interface Target {
  readonly epoch: number
  readonly partitions: PartitionSet
  /** Whether nobody else has the partition. */
  readonly isFree: (topicId: TopicId, partition: number) => boolean
}

/** `owned` is what the member says that it has; null: as before. Returns the member itself where it stays as it is. */
export function reconcile(
  member: ConsumerMember,
  target: Target,
  owned: PartitionSet | null,
): ConsumerMember {
  switch (member.state) {
    case MemberState.STABLE:
      return member.memberEpoch === target.epoch ? member : step(member, member.memberEpoch, target, owned)
    case MemberState.UNREVOKED_PARTITIONS:
      if (owned === null || intersects(owned, member.pendingRevocation)) return member
      return step(member, Math.min(member.memberEpoch + 1, target.epoch), target, owned)
    case MemberState.UNRELEASED_PARTITIONS:
      return step(member, member.memberEpoch, target, owned)
  }
}

function step(
  member: ConsumerMember,
  memberEpoch: number,
  target: Target,
  owned: PartitionSet | null,
): ConsumerMember {
  const { both: kept, rest: revoked } = split(member.assigned, target.partitions)
  const { rest: wanted } = split(target.partitions, kept)
  if (revoked.size > 0 && (owned === null || intersects(owned, revoked))) {
    return changed(member, {
      ...member,
      state: MemberState.UNREVOKED_PARTITIONS,
      memberEpoch,
      assigned: kept,
      pendingRevocation: revoked,
    })
  }
  const free = new Map<TopicId, readonly number[]>()
  let isComplete = true
  for (const [topicId, partitions] of wanted) {
    const available = partitions.filter(partition => target.isFree(topicId, partition))
    if (available.length > 0) free.set(topicId, available)
    if (available.length < partitions.length) isComplete = false
  }
  return changed(member, {
    ...member,
    state: isComplete ? MemberState.STABLE : MemberState.UNRELEASED_PARTITIONS,
    memberEpoch: target.epoch,
    assigned: union(kept, free),
    pendingRevocation: NO_PARTITIONS,
  })
}

/** The epoch before is kept only for as long as the member may not know of the new one. */
function changed(before: ConsumerMember, after: ConsumerMember): ConsumerMember {
  const isSame =
    before.memberEpoch === after.memberEpoch &&
    before.state === after.state &&
    after.pendingRevocation.size === 0 &&
    before.pendingRevocation.size === 0 &&
    split(after.assigned, before.assigned).rest.size === 0 &&
    split(before.assigned, after.assigned).rest.size === 0
  return isSame ? before : { ...after, previousMemberEpoch: before.memberEpoch }
}
