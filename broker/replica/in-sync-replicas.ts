/**
 * What a leader knows of its followers, and who of them counts: how far each has the log, who is in sync, and whom the
 * leader would have in or out of the in-sync replicas. It proposes and never decides: a proposal is true when the
 * cluster's metadata says so.
 *
 * While a proposal is under way both outcomes are possible, so what is committed must be on the members of the ISR as
 * it is and as it may become: the maximal ISR (KIP-497).
 *
 *   ISR 1,2   proposed 1,2,3   maximal 1,2,3        ISR 1,2,3   proposed 1,2   maximal 1,2,3
 */
import { assert } from '../../client/protocol/assert.ts'
import { type BrokerId, type Offset } from '../../client/protocol/types.ts'
import { type FollowerFetchedEvent, type IsrMember, type Replicas } from './events.ts'

interface Follower {
  /** Of the process that fetched last; -1 before the first fetch. */
  brokerEpoch: number
  /** It has everything below; 0 before its first fetch: then nothing is known. */
  endOffset: Offset
  logStartOffset: Offset
  /** When it fetched last, and where the leader's log ended then. */
  fetchedMs: number
  leaderEndOffset: Offset
  /** The last moment at which it had everything that there was. */
  caughtUpMs: number
}

/** How far the leader's own log is. */
export interface LeaderOffsets {
  /** What followers can have at most. */
  readonly endOffset: Offset
  readonly highWatermark: Offset
  readonly epochStartOffset: Offset
}

const NOBODY: Replicas = { partitionEpoch: 0, revision: -1, replicas: [], isr: [] }

export class InSyncReplicas {
  readonly #self: BrokerId
  #known: Replicas = NOBODY
  #maximal: readonly BrokerId[] = []
  #isProposing = false
  readonly #followers = new Map<BrokerId, Follower>()

  constructor(self: BrokerId) {
    this.#self = self
  }

  /** As decided, without what is proposed. */
  get isr(): readonly BrokerId[] {
    return this.#known.isr
  }

  /** Others may be elected as long as nothing is committed: then nothing is. */
  get hasEligible(): boolean {
    return (this.#known.elr?.length ?? 0) > 0
  }

  get replicas(): readonly BrokerId[] {
    return this.#known.replicas
  }

  get maximalIsr(): readonly BrokerId[] {
    return this.#maximal
  }

  get revision(): number {
    return this.#known.revision
  }

  get isProposing(): boolean {
    return this.#isProposing
  }

  /** A new epoch: nothing that was heard from anybody before it counts. */
  begin(replicas: Replicas, nowMs: number): void {
    assert(replicas.isr.includes(this.#self), 'a leader is in sync with itself')
    this.#followers.clear()
    this.#adopt(replicas, nowMs)
  }

  /**
   * The same epoch with other replicas or another ISR, which also ends a proposal: it was accepted, or came too late.
   * False when it is not new.
   */
  update(replicas: Replicas, nowMs: number): boolean {
    const known = this.#known
    if (replicas.revision <= known.revision) return false
    assert(replicas.isr.includes(this.#self), 'a leader is in sync with itself')
    // A change that was not seen may have taken a replica away and brought it back, without the records that it had.
    const hasMissedSome = replicas.partitionEpoch > known.partitionEpoch + 1
    for (const broker of this.#followers.keys()) {
      const joinsUnasked = replicas.isr.includes(broker) && !this.#maximal.includes(broker)
      if (hasMissedSome || joinsUnasked || !replicas.replicas.includes(broker)) this.#followers.delete(broker)
    }
    this.#adopt(replicas, nowMs)
    return true
  }

  /** It leads no more. */
  end(): void {
    this.#followers.clear()
    this.#known = NOBODY
    this.#maximal = []
    this.#isProposing = false
  }

  #adopt(replicas: Replicas, nowMs: number): void {
    this.#known = replicas
    this.#maximal = replicas.isr
    this.#isProposing = false
    for (const broker of replicas.replicas) {
      if (broker === this.#self || this.#followers.has(broker)) continue
      this.#followers.set(broker, {
        brokerEpoch: -1,
        endOffset: 0 as Offset,
        logStartOffset: 0 as Offset,
        fetchedMs: -Infinity,
        leaderEndOffset: Infinity as Offset,
        // Who is in sync has the time of replica.lag.time.max.ms to come.
        caughtUpMs: replicas.isr.includes(broker) ? nowMs : -Infinity,
      })
    }
  }

  /** Whether fetches of this follower count: not of one that is none, nor of a process that another has followed. */
  standing(broker: BrokerId, brokerEpoch: number): 'known' | 'unknown' | 'stale' {
    const follower = this.#followers.get(broker)
    if (follower === undefined) return 'unknown'
    return brokerEpoch < follower.brokerEpoch ? 'stale' : 'known'
  }

  /** Takes note of a fetch; what it asks for it has. False when it does not count. */
  fetched(event: FollowerFetchedEvent, leaderEndOffset: Offset, nowMs: number): boolean {
    const follower = this.#followers.get(event.replica)
    if (follower === undefined || event.brokerEpoch < follower.brokerEpoch) return false
    if (event.brokerEpoch > follower.brokerEpoch) {
      // Another process: what the one before it had been sent says nothing (KIP-903).
      follower.brokerEpoch = event.brokerEpoch
      follower.leaderEndOffset = Infinity as Offset
    }
    const { fetchOffset } = event
    if (fetchOffset >= leaderEndOffset) follower.caughtUpMs = nowMs
    // It has all that there was when it fetched before: at that time it was caught up, seen from now.
    else if (fetchOffset >= follower.leaderEndOffset && follower.fetchedMs > follower.caughtUpMs) {
      follower.caughtUpMs = follower.fetchedMs
    }
    follower.endOffset = fetchOffset
    follower.logStartOffset = event.logStartOffset
    follower.leaderEndOffset = leaderEndOffset
    follower.fetchedMs = nowMs
    return true
  }

  /** The leader has written beyond `endOffset`: whoever has all below it was caught up until now, however long silent. */
  wrote(endOffset: Offset, nowMs: number): void {
    for (const follower of this.#followers.values()) {
      if (follower.brokerEpoch >= 0 && follower.endOffset === endOffset) follower.caughtUpMs = nowMs
    }
  }

  /** Which part of the log a follower has, as far as it has told; null: it has told nothing. */
  span(broker: BrokerId): { readonly logStartOffset: Offset; readonly endOffset: Offset } | null {
    const follower = this.#followers.get(broker)
    return follower === undefined || follower.brokerEpoch < 0 ? null : follower
  }

  /**
   * The ISR with `broker`, to be proposed now; null where it is not due. It joins with everything that is committed and
   * that a former leader may have committed: below the start of the epoch nobody knows yet how far that went.
   */
  expansion(broker: BrokerId, offsets: LeaderOffsets): readonly IsrMember[] | null {
    if (this.#isProposing || this.#maximal.includes(broker)) return null
    const follower = this.#followers.get(broker)
    if (follower === undefined || follower.brokerEpoch < 0) return null
    if (follower.endOffset < offsets.highWatermark || follower.endOffset < offsets.epochStartOffset)
      return null
    const isr = [...this.#known.isr, broker].sort((a, b) => this.#place(a) - this.#place(b))
    this.#isProposing = true
    this.#maximal = isr
    return this.#members(isr)
  }

  /**
   * The ISR without those that have not been caught up for `lagTimeMaxMs`; null when there are none. Who has everything
   * is in sync however long it is silent: that it is dead is for others to find.
   */
  shrinkage(endOffset: Offset, lagTimeMaxMs: number, nowMs: number): readonly IsrMember[] | null {
    if (this.#isProposing) return null
    const isr = this.#known.isr.filter(broker => {
      const follower = this.#followers.get(broker)
      if (broker === this.#self || follower === undefined) return broker === this.#self
      return follower.endOffset === endOffset || nowMs - follower.caughtUpMs <= lagTimeMaxMs
    })
    if (isr.length === this.#known.isr.length) return null
    this.#isProposing = true
    return this.#members(isr)
  }

  /** The proposal that was made under `revision` has come to nothing. */
  refused(revision: number): void {
    if (revision !== this.#known.revision || !this.#isProposing) return
    this.#isProposing = false
    this.#maximal = this.#known.isr
  }

  /** What all of the maximal ISR have, `ownOffset` being the leader's part. */
  committedOffset(ownOffset: Offset): Offset {
    let committed = ownOffset
    for (const broker of this.#maximal) {
      if (broker === this.#self) continue
      const endOffset = this.#followers.get(broker)?.endOffset ?? (0 as Offset)
      if (endOffset < committed) committed = endOffset
    }
    return committed
  }

  /** From where on every member of the ISR still has the records, as far as they have told. */
  lowestLogStart(ownLogStart: Offset): Offset {
    let lowest = ownLogStart
    for (const broker of this.#known.isr) {
      if (broker === this.#self) continue
      const logStartOffset = this.#followers.get(broker)?.logStartOffset ?? (0 as Offset)
      if (logStartOffset < lowest) lowest = logStartOffset
    }
    return lowest
  }

  #members(isr: readonly BrokerId[]): readonly IsrMember[] {
    return isr.map(broker => ({ broker, brokerEpoch: this.#followers.get(broker)?.brokerEpoch ?? -1 }))
  }

  #place(broker: BrokerId): number {
    const place = this.#known.replicas.indexOf(broker)
    return place === -1 ? this.#known.replicas.length : place
  }
}
