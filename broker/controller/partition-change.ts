/**
 * What becomes of one partition: who leads it, who is in sync with it, who else could lead it without loss, and how far
 * its move to other brokers is. The one place that decides it, so that a dead broker, a proposal of a leader, an
 * election and a move all follow the same rules (those of Kafka, KIP-966). It must know nothing of the store, nor of
 * how the partition came to be looked at.
 *
 * Three sets of replicas, from the safest down:
 * - ISR: have all that was ever committed, and follow.
 * - ELR (eligible leader replicas): had all of it when they left the ISR, and nothing was committed since, because the
 *   ISR has been smaller than min.insync.replicas from then on. As safe to lead as the ISR, as long as they come back
 *   with their data.
 * - the last known leader, kept while there is neither: the best guess, and may lack what was committed.
 *
 * With min.insync.replicas = 2:
 *
 *   event          ISR      ELR    leader  last known
 *   all live       1 2 3    -      1       -
 *   3 dies         1 2      -      1       -
 *   2 dies         1        2      1       -            nothing is committed any more
 *   1 dies         -        2 1    -       1
 *   2 returns      2        1      2       -
 *   1 catches up   2 1      -      2       -            and 1 leads again when leaders are balanced
 */
import { assert } from '../../client/protocol/assert.ts'
import { type PartitionRecord } from './records.ts'

export const NO_LEADER = -1

/**
 * - `any`: a leader that can lead stays; else whoever can without loss; else whoever last led.
 * - `preferred`: the first replica where it is in sync; else as `any`.
 * - `unclean`: where nobody can lead without loss, any replica that is there.
 */
export type Election = 'any' | 'preferred' | 'unclean'

/** What is asked for; what is absent stays as it is, as far as it can. */
export interface WantedChange {
  readonly isr?: readonly number[]
  readonly replicas?: readonly number[]
  readonly adding?: readonly number[]
  readonly removing?: readonly number[]
  readonly election?: Election
}

/** What the decision depends on besides the partition itself. */
export interface Circumstances {
  /** May lead and be in sync. */
  isActive(broker: number): boolean
  /** Came back from a crash, and may lack what it once had: not to be relied upon (KIP-966). */
  hasLostData(broker: number): boolean
  readonly minInsyncReplicas: number
  readonly uncleanElection: boolean
}

/** The partition as it should be; null where that is how it is. */
export function changePartition(
  current: PartitionRecord,
  wanted: WantedChange,
  circumstances: Circumstances,
): PartitionRecord | null {
  const next = new Draft(current, wanted, circumstances).settle()
  if (isSame(current, next)) return null
  assertSound(next)
  return next
}

class Draft {
  readonly #current: PartitionRecord
  readonly #circumstances: Circumstances
  readonly #election: Election
  #replicas: readonly number[]
  #adding: readonly number[]
  #removing: readonly number[]
  #isr: readonly number[]
  #elr: readonly number[] = []

  constructor(current: PartitionRecord, wanted: WantedChange, circumstances: Circumstances) {
    this.#current = current
    this.#circumstances = circumstances
    this.#election = circumstances.uncleanElection ? 'unclean' : 'any'
    if (wanted.election !== undefined && wanted.election !== 'any') this.#election = wanted.election
    this.#replicas = wanted.replicas ?? current.replicas
    this.#adding = wanted.adding ?? current.adding
    this.#removing = wanted.removing ?? current.removing
    this.#isr = (wanted.isr ?? current.isr).filter(
      broker => circumstances.isActive(broker) && this.#replicas.includes(broker),
    )
  }

  settle(): PartitionRecord {
    const { topicId, partition, leader: before, leaderEpoch, partitionEpoch } = this.#current
    this.#completeMove()
    this.#elr = this.#eligible()
    const leader = this.#elect()
    // Who no longer has the partition must not be believed by those that remain.
    const isShrunk = !this.#current.replicas.every(broker => this.#replicas.includes(broker))
    return {
      topicId,
      partition,
      leader,
      leaderEpoch: leader !== before || isShrunk ? leaderEpoch + 1 : leaderEpoch,
      partitionEpoch: partitionEpoch + 1,
      replicas: this.#replicas,
      isr: this.#isr,
      elr: this.#elr,
      lastKnownElr: this.#lastKnown(leader),
      adding: this.#adding,
      removing: this.#removing,
    }
  }

  /** More would never be reached by fewer replicas. */
  get #minInSync(): number {
    return Math.min(this.#circumstances.minInsyncReplicas, this.#replicas.length)
  }

  /**
   * Those that are to go go once all that are to come are in sync, and enough remain: where the move itself would leave
   * fewer in sync than are needed to write, it waits.
   */
  #completeMove(): void {
    if (this.#adding.length + this.#removing.length === 0) return
    if (!this.#adding.every(broker => this.#isr.includes(broker))) return
    const replicas = without(this.#replicas, this.#removing)
    const isr = without(this.#isr, this.#removing)
    const enough = Math.min(this.#circumstances.minInsyncReplicas, replicas.length, this.#isr.length)
    if (isr.length === 0 || isr.length < enough) return
    this.#replicas = replicas
    this.#isr = isr
    this.#adding = []
    this.#removing = []
  }

  #eligible(): readonly number[] {
    if (this.#isr.length >= this.#minInSync) return []
    const { isr, elr } = this.#current
    // With an ISR that is large enough as things are now, more may have been committed since the ELR was written down.
    const before = isr.length >= this.#minInSync ? isr : union(elr, isr)
    return before.filter(
      broker =>
        !this.#isr.includes(broker) &&
        this.#replicas.includes(broker) &&
        !this.#circumstances.hasLostData(broker),
    )
  }

  #elect(): number {
    const { leader, lastKnownElr } = this.#current
    if (this.#isr.length > 0) {
      const preferred = this.#replicas[0]!
      if (this.#election === 'preferred' && this.#isr.includes(preferred)) return preferred
      if (this.#isr.includes(leader)) return leader
      return this.#replicas.find(broker => this.#isr.includes(broker))!
    }
    const { isActive } = this.#circumstances
    const eligible = this.#replicas.find(broker => this.#elr.includes(broker) && isActive(broker))
    if (eligible !== undefined) {
      this.#isr = [eligible]
      this.#elr = this.#isr.length >= this.#minInSync ? [] : without(this.#elr, this.#isr)
      return eligible
    }
    const guess =
      this.#elr.length === 0
        ? lastKnownElr.find(broker => isActive(broker) && this.#replicas.includes(broker))
        : undefined
    const risky = guess ?? (this.#election === 'unclean' ? this.#replicas.find(isActive) : undefined)
    if (risky === undefined) return NO_LEADER
    // What others have that this one lacks is no longer part of the partition: they follow what it has.
    this.#isr = [risky]
    this.#elr = []
    return risky
  }

  #lastKnown(leader: number): readonly number[] {
    if (leader !== NO_LEADER) return []
    const before = this.#current.leader
    const known = before === NO_LEADER ? this.#current.lastKnownElr : [before]
    return known.filter(broker => this.#replicas.includes(broker))
  }
}

/** True where `next` differs in its epochs at most. Sets are the same in whatever order they are. */
function isSame(current: PartitionRecord, next: PartitionRecord): boolean {
  return (
    current.leader === next.leader &&
    current.leaderEpoch === next.leaderEpoch &&
    isSameList(current.replicas, next.replicas) &&
    isSameSet(current.isr, next.isr) &&
    isSameSet(current.elr, next.elr) &&
    isSameSet(current.lastKnownElr, next.lastKnownElr) &&
    isSameSet(current.adding, next.adding) &&
    isSameSet(current.removing, next.removing)
  )
}

function assertSound(next: PartitionRecord): void {
  const { leader, isr, elr, replicas } = next
  assert(
    isr.every(broker => replicas.includes(broker)),
    'who is in sync is a replica',
  )
  assert(
    elr.every(broker => replicas.includes(broker) && !isr.includes(broker)),
    'who is eligible is a replica out of sync',
  )
  assert(leader === NO_LEADER ? isr.length === 0 : isr.includes(leader), 'who leads is in sync')
}

export function without(list: readonly number[], others: readonly number[]): readonly number[] {
  return others.length === 0 ? list : list.filter(item => !others.includes(item))
}

function union(list: readonly number[], others: readonly number[]): readonly number[] {
  return list.length === 0 ? others : [...list, ...without(others, list)]
}

function isSameList(a: readonly number[], b: readonly number[]): boolean {
  return a === b || (a.length === b.length && a.every((item, index) => item === b[index]))
}

function isSameSet(a: readonly number[], b: readonly number[]): boolean {
  return a === b || (a.length === b.length && a.every(item => b.includes(item)))
}
