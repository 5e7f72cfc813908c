/**
 * A classic group as its coordinator has it in memory, and the draft of what it will be after a decision. Knows what
 * members, votes and protocols are; the phases of a rebalance are `classic-rebalance.ts`.
 *
 *                 a member joins                    all have joined
 *   Empty ----------------------> PreparingRebalance ---------------> CompletingRebalance
 *     ^                              |          ^                        |          |
 *     +------------------------------+          +------------------------+          | the leader has assigned
 *        all members are gone                   |  a member joins or goes           v
 *                                               +----------------------------- Stable
 *
 * Only Empty and Stable are in the log: a coordinator that starts anew lets the members of a rebalance begin again.
 */
import { assert } from '../../client/protocol/assert.ts'
import { subscribedTopics } from '../../client/protocol/messages/consumer-protocol.ts'
import { applyChanges, type MapChanges, Overlay } from './overlay.ts'
import { type GroupMetadataValue } from './record-schemas.ts'

export const CONSUMER_PROTOCOL_TYPE = 'consumer'
export const NO_BYTES = new Uint8Array(0)

export type ClassicState = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable'

export interface ClassicProtocol {
  readonly name: string
  readonly metadata: Uint8Array
}

/** A request whose answer waits for others. */
export interface Waiting {
  readonly token: number
  readonly version: number
}

/** Never changed, only replaced. Byte fields are our own. */
export interface ClassicMember {
  readonly memberId: string
  readonly instanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly rebalanceTimeoutMs: number
  readonly sessionTimeoutMs: number
  /** In the order of preference. */
  readonly protocols: readonly ClassicProtocol[]
  readonly assignment: Uint8Array
  /** In its first join: it does not know its id yet, or has never had a generation. */
  readonly isNew: boolean
  readonly join: Waiting | null
  readonly sync: Waiting | null
}

/** What is not a collection. */
export interface ClassicFacts {
  readonly state: ClassicState
  readonly generation: number
  /** Null: nobody has ever joined; the group only keeps offsets. */
  readonly protocolType: string | null
  readonly protocolName: string | null
  readonly leaderId: string | null
  /** When the state was entered, by the wall clock; null where the log does not say. */
  readonly stateTimestamp: number | null
  /** Of a join phase that began in an empty group: how much longer it may be put off, and by how much it is. */
  readonly initialDelay: {
    readonly delayMs: number
    readonly remainingMs: number
    readonly grown: boolean
  } | null
  /** Members with a join that waits. */
  readonly waitingJoins: number
  /** Of all members, in the protocol chosen; null where it is not known. */
  readonly subscribedTopics: ReadonlySet<string> | null
}

export interface ClassicPatch {
  readonly facts: ClassicFacts
  readonly members: MapChanges<ClassicMember>
  readonly instances: MapChanges<string>
  readonly pendingJoins: MapChanges<true>
  readonly pendingSyncs: MapChanges<true>
  readonly supported: MapChanges<number>
}

const UNUSED: ClassicFacts = {
  state: 'Empty',
  generation: 0,
  protocolType: null,
  protocolName: null,
  leaderId: null,
  stateTimestamp: null,
  initialDelay: null,
  waitingJoins: 0,
  subscribedTopics: null,
}

export class ClassicGroup {
  readonly groupId: string
  facts: ClassicFacts = UNUSED
  readonly members = new Map<string, ClassicMember>()
  /** Static members: instance id -> member id. */
  readonly instances = new Map<string, string>()
  /** Ids that were given out and have not come back yet (KIP-394). */
  readonly pendingJoins = new Map<string, true>()
  /** Members of the generation that have not asked for their assignment. */
  readonly pendingSyncs = new Map<string, true>()
  /** How many members know a protocol. */
  readonly supported = new Map<string, number>()

  constructor(groupId: string) {
    this.groupId = groupId
  }

  /** The group as it comes out of the log. Byte fields must be the group's own. */
  static fromRecord(groupId: string, value: GroupMetadataValue): ClassicGroup {
    const group = new ClassicGroup(groupId)
    const protocolName = value.protocol
    for (const member of value.members) {
      const protocols = [{ name: protocolName ?? '', metadata: member.subscription }]
      group.members.set(member.memberId, {
        memberId: member.memberId,
        instanceId: member.groupInstanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        rebalanceTimeoutMs: member.rebalanceTimeout === -1 ? member.sessionTimeout : member.rebalanceTimeout,
        sessionTimeoutMs: member.sessionTimeout,
        protocols,
        assignment: member.assignment,
        isNew: false,
        join: null,
        sync: null,
      })
      if (member.groupInstanceId !== null) group.instances.set(member.groupInstanceId, member.memberId)
    }
    if (group.members.size > 0) group.supported.set(protocolName ?? '', group.members.size)
    const protocolType = value.protocolType === '' ? null : value.protocolType
    group.facts = {
      ...UNUSED,
      state: group.members.size === 0 ? 'Empty' : 'Stable',
      generation: value.generation,
      protocolType,
      protocolName,
      leaderId:
        value.leader !== null && group.members.has(value.leader) ? value.leader : firstKey(group.members),
      stateTimestamp: value.currentStateTimestamp === -1 ? null : value.currentStateTimestamp,
      subscribedTopics: topicsOf(protocolType, protocolName, group.members.values()),
    }
    return group
  }

  apply(patch: ClassicPatch): void {
    this.facts = patch.facts
    applyChanges(this.members, patch.members)
    applyChanges(this.instances, patch.instances)
    applyChanges(this.pendingJoins, patch.pendingJoins)
    applyChanges(this.pendingSyncs, patch.pendingSyncs)
    applyChanges(this.supported, patch.supported)
  }

  /** Whether the group may be reading the topic: then its offsets stay. */
  isSubscribedTo(topic: string): boolean {
    const { subscribedTopics, protocolType } = this.facts
    return subscribedTopics === null ? protocolType === CONSUMER_PROTOCOL_TYPE : subscribedTopics.has(topic)
  }
}

/** A classic group as it will be after the decision at hand. */
export class ClassicDraft {
  readonly groupId: string
  facts: ClassicFacts
  readonly #before: ClassicFacts
  readonly members: Overlay<ClassicMember>
  readonly instances: Overlay<string>
  readonly pendingJoins: Overlay<true>
  readonly pendingSyncs: Overlay<true>
  readonly supported: Overlay<number>

  constructor(group: ClassicGroup) {
    this.groupId = group.groupId
    this.facts = group.facts
    this.#before = group.facts
    this.members = new Overlay(group.members)
    this.instances = new Overlay(group.instances)
    this.pendingJoins = new Overlay(group.pendingJoins)
    this.pendingSyncs = new Overlay(group.pendingSyncs)
    this.supported = new Overlay(group.supported)
  }

  isChanged(): boolean {
    const overlays = [this.members, this.instances, this.pendingJoins, this.pendingSyncs, this.supported]
    return this.facts !== this.#before || overlays.some(({ changes }) => changes.size > 0)
  }

  patch(): ClassicPatch {
    return {
      facts: this.facts,
      members: this.members.changes,
      instances: this.instances.changes,
      pendingJoins: this.pendingJoins.changes,
      pendingSyncs: this.pendingSyncs.changes,
      supported: this.supported.changes,
    }
  }

  update(facts: Partial<ClassicFacts>): void {
    this.facts = { ...this.facts, ...facts }
  }

  enter(state: ClassicState, nowMs: number): void {
    this.update({ state, stateTimestamp: nowMs })
  }

  member(memberId: string): ClassicMember {
    const member = this.members.get(memberId)
    assert(member !== undefined, `${memberId} is a member of ${this.groupId}`)
    return member
  }

  add(member: ClassicMember, protocolType: string): void {
    assert(!this.members.has(member.memberId), `${member.memberId} is not in ${this.groupId} yet`)
    if (this.members.size === 0) this.update({ protocolType })
    if (this.facts.leaderId === null) this.update({ leaderId: member.memberId })
    if (member.instanceId !== null) this.instances.set(member.instanceId, member.memberId)
    this.members.set(member.memberId, member)
    this.#count(member, 1)
    this.pendingJoins.delete(member.memberId)
  }

  /** Puts `member` in the place of the one with its id. */
  replace(member: ClassicMember): void {
    const previous = this.member(member.memberId)
    if (previous.protocols !== member.protocols || (previous.join === null) !== (member.join === null)) {
      this.#count(previous, -1)
      this.#count(member, 1)
    }
    this.members.set(member.memberId, member)
  }

  /** A member, or an id that has been given out; fine where there is neither. Another member becomes the leader. */
  remove(memberId: string): void {
    const member = this.members.get(memberId)
    if (member !== undefined) {
      this.members.delete(memberId)
      this.#count(member, -1)
      if (member.instanceId !== null && this.instances.get(member.instanceId) === memberId) {
        this.instances.delete(member.instanceId)
      }
    }
    if (this.facts.leaderId === memberId) {
      const first = this.members.keys().next()
      this.update({ leaderId: first.done === true ? null : first.value })
    }
    this.pendingJoins.delete(memberId)
    this.pendingSyncs.delete(memberId)
  }

  #count(member: ClassicMember, sign: 1 | -1): void {
    for (const { name } of member.protocols) {
      const count = (this.supported.get(name) ?? 0) + sign
      if (count === 0) this.supported.delete(name)
      else this.supported.set(name, count)
    }
    if (member.join !== null) this.update({ waitingJoins: this.facts.waitingJoins + sign })
  }

  hasAllJoined(): boolean {
    return this.members.size === this.facts.waitingJoins && this.pendingJoins.size === 0
  }

  /** Whether a member with these protocols could be one of the group. */
  supports(protocolType: string, protocols: readonly { readonly name: string }[]): boolean {
    if (this.facts.state === 'Empty') return protocolType !== '' && protocols.length > 0
    const common = ({ name }: { readonly name: string }) =>
      (this.supported.get(name) ?? 0) === this.members.size
    return this.facts.protocolType === protocolType && protocols.some(common)
  }

  /** Every member votes for the first of its protocols that all know; the one with most votes, of these the first. */
  electedProtocol(): string {
    const votes = new Map<string, number>()
    for (const member of this.members.values()) {
      const choice = member.protocols.find(({ name }) => this.supported.get(name) === this.members.size)
      assert(choice !== undefined, `the members of ${this.groupId} have a protocol in common`)
      votes.set(choice.name, (votes.get(choice.name) ?? 0) + 1)
    }
    let elected = ''
    let most = 0
    for (const [name, count] of votes) if (count > most) [elected, most] = [name, count]
    return elected
  }

  /** Makes sure that the leader is one of those that have joined; false where none has. */
  electJoinedLeader(): boolean {
    const { leaderId } = this.facts
    if (leaderId === null) return false
    if (this.member(leaderId).join !== null) return true
    for (const member of this.members.values()) {
      if (member.join === null) continue
      this.update({ leaderId: member.memberId })
      return true
    }
    return false
  }

  /** The longest that any member wants to be waited for. */
  rebalanceTimeoutMs(): number {
    let longest = 0
    for (const member of this.members.values()) longest = Math.max(longest, member.rebalanceTimeoutMs)
    return longest
  }

  topics(protocolName: string | null): ReadonlySet<string> | null {
    return topicsOf(this.facts.protocolType, protocolName, this.members.values())
  }

  /** Everything that outlives the coordinator. */
  toRecordValue(): GroupMetadataValue {
    const { protocolType, generation, protocolName, leaderId, stateTimestamp } = this.facts
    return {
      protocolType: protocolType ?? '',
      generation,
      protocol: protocolName,
      leader: leaderId,
      currentStateTimestamp: stateTimestamp ?? -1,
      members: Array.from(this.members.values(), member => ({
        memberId: member.memberId,
        groupInstanceId: member.instanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        rebalanceTimeout: member.rebalanceTimeoutMs,
        sessionTimeout: member.sessionTimeoutMs,
        subscription: metadataOf(member, protocolName),
        assignment: member.assignment,
      })),
    }
  }
}

/** What the member says of itself in this protocol. */
export function metadataOf(member: ClassicMember, protocolName: string | null): Uint8Array {
  return member.protocols.find(({ name }) => name === protocolName)?.metadata ?? NO_BYTES
}

function topicsOf(
  protocolType: string | null,
  protocolName: string | null,
  members: Iterable<ClassicMember>,
): ReadonlySet<string> | null {
  if (protocolType !== CONSUMER_PROTOCOL_TYPE) return null
  const topics = new Set<string>()
  for (const member of members) {
    const subscribed = subscribedTopics(metadataOf(member, protocolName))
    if (subscribed === null) return null
    for (const topic of subscribed) topics.add(topic)
  }
  return topics
}

function firstKey(map: ReadonlyMap<string, unknown>): string | null {
  for (const key of map.keys()) return key
  return null
}
