/**
 * Watches a group from the side of all its members at once, who tell it what they get, let go of and read: whether
 * the group is stable, what moved, which records came twice, and how long who read nothing. Pure: the time comes with
 * every event, in milliseconds of one monotonic clock.
 */
import { type Histogram, makeHistogram, recordMilliseconds, summarize } from '../histogram.ts'
import type { GroupFigures } from '../types.ts'

interface Seat {
  readonly startedMs: number
  joined: boolean
  /** Not on its way out. */
  live: boolean
  owned: number
  /** Null before its first record. */
  lastReadMs: number | null
  longestGapMs: number
}

const NOBODY = -1

export class GroupObserver {
  readonly partitions: number
  private readonly seats = new Map<number, Seat>()
  private readonly owners: Int32Array
  /** Who had it last, also while nobody has it. */
  private readonly lastOwners: Int32Array
  private readonly readers: Int32Array
  private readonly lastReadMs: Float64Array
  private readonly longestGapMs: Float64Array
  /** 1 where another member read on since the last change. */
  private readonly movedSince: Uint8Array
  /** Of the next record that has never been read. */
  private readonly next: number[]
  private ownedByLive = 0
  private toJoin = 0
  private pendingChanges: number[] = []
  private changes = 0
  private moved = 0
  private leastMoved = 0
  private revokedCount = 0
  private overlaps = 0
  /** Records that were read, each counted once. */
  readRecords = 0
  private reread = 0
  private skipped = 0
  private settling = makeHistogram()
  private pauses = emptyPauses()
  private stableWaiters: (() => void)[] = []

  /** `starts`: the offset from which each partition is read. */
  constructor(starts: readonly number[]) {
    this.partitions = starts.length
    this.next = [...starts]
    this.owners = new Int32Array(starts.length).fill(NOBODY)
    this.lastOwners = new Int32Array(starts.length).fill(NOBODY)
    this.readers = new Int32Array(starts.length).fill(NOBODY)
    this.lastReadMs = new Float64Array(starts.length)
    this.longestGapMs = new Float64Array(starts.length)
    this.movedSince = new Uint8Array(starts.length)
  }

  get liveMembers(): number {
    let live = 0
    for (const seat of this.seats.values()) if (seat.live) live += 1
    return live
  }

  get ownedPartitions(): number {
    return this.ownedByLive
  }

  get movedPartitions(): number {
    return this.moved
  }

  /** Each partition has one owner who means to stay, everybody has joined, and the load is even. */
  get isStable(): boolean {
    if (this.ownedByLive < this.partitions || this.toJoin > 0) return false
    let least = Number.POSITIVE_INFINITY
    let most = 0
    for (const { live, owned } of this.seats.values()) {
      if (!live) continue
      least = Math.min(least, owned)
      most = Math.max(most, owned)
    }
    return most - least <= 1
  }

  /** Resolves when the group is stable, at once where it is. */
  stable(): Promise<void> {
    if (this.isStable) return Promise.resolve()
    return new Promise(resolve => this.stableWaiters.push(resolve))
  }

  /** What moved, paused and came twice so far is forgotten. */
  begin(): void {
    this.moved = 0
    this.leastMoved = 0
    this.revokedCount = 0
    this.overlaps = 0
    this.reread = 0
    this.skipped = 0
    this.changes = 0
    this.pendingChanges = []
    this.settling = makeHistogram()
    this.pauses = emptyPauses()
    this.longestGapMs.fill(0)
    this.movedSince.fill(0)
    for (const seat of this.seats.values()) seat.longestGapMs = 0
  }

  // ------------------------------------------------------------------------------------ membership

  started(member: number, nowMs: number): void {
    this.seats.set(member, {
      startedMs: nowMs,
      joined: false,
      live: true,
      owned: 0,
      lastReadMs: null,
      longestGapMs: 0,
    })
    this.toJoin += 1
  }

  /** A member came while the group was at work: `started` says which. */
  came(nowMs: number): void {
    this.leastMoved += Math.floor(this.partitions / Math.max(1, this.liveMembers))
    this.changed(nowMs)
  }

  /** A member begins to leave. */
  leaving(member: number, nowMs: number): void {
    const seat = this.seat(member)
    if (!seat.joined) this.toJoin -= 1
    seat.live = false
    this.ownedByLive -= seat.owned
    this.leastMoved += seat.owned
    this.changed(nowMs)
  }

  /** It is gone, and all that it still had is free. */
  left(member: number, nowMs: number): void {
    for (let partition = 0; partition < this.partitions; partition += 1)
      if (this.owners[partition] === member) this.owners[partition] = NOBODY
    this.seats.delete(member)
    this.look(nowMs)
  }

  joined(member: number, nowMs: number): void {
    const seat = this.seat(member)
    if (!seat.joined && seat.live) this.toJoin -= 1
    seat.joined = true
    this.look(nowMs)
  }

  assigned(member: number, partitions: readonly number[], nowMs: number): void {
    for (const partition of partitions) {
      const before = this.owners[partition]!
      if (before === member) continue
      if (before !== NOBODY) {
        this.overlaps += 1
        this.release(partition)
      }
      const last = this.lastOwners[partition]!
      if (last !== NOBODY && last !== member) this.moved += 1
      this.owners[partition] = member
      this.lastOwners[partition] = member
      const seat = this.seat(member)
      seat.owned += 1
      if (seat.live) this.ownedByLive += 1
    }
    this.look(nowMs)
  }

  /** Revoked, or lost. */
  revoked(member: number, partitions: readonly number[], nowMs: number): void {
    for (const partition of partitions) {
      if (this.owners[partition] !== member) continue
      this.release(partition)
      this.revokedCount += 1
    }
    this.look(nowMs)
  }

  private release(partition: number): void {
    const seat = this.seats.get(this.owners[partition]!)
    this.owners[partition] = NOBODY
    if (seat === undefined) return
    seat.owned -= 1
    if (seat.live) this.ownedByLive -= 1
  }

  private seat(member: number): Seat {
    const seat = this.seats.get(member)
    if (seat === undefined) throw new Error(`Member ${member} is not in the group.`)
    return seat
  }

  private changed(nowMs: number): void {
    this.closeWindow()
    this.changes += 1
    this.pendingChanges.push(nowMs)
    this.look(nowMs)
  }

  private look(nowMs: number): void {
    if (this.pendingChanges.length === 0 && this.stableWaiters.length === 0) return
    if (!this.isStable) return
    for (const changedMs of this.pendingChanges) recordMilliseconds(this.settling, nowMs - changedMs)
    this.pendingChanges = []
    for (const resolve of this.stableWaiters.splice(0)) resolve()
  }

  // ------------------------------------------------------------------------------------ reading

  /** The member was handed the records from `first` up to, not with, `end`. */
  read(member: number, partition: number, first: number, end: number, nowMs: number): void {
    const expected = this.next[partition]!
    if (first < expected) this.reread += Math.min(end, expected) - first
    else this.skipped += first - expected
    this.readRecords += Math.max(0, end - Math.max(first, expected))
    this.next[partition] = Math.max(expected, end)
    const before = this.readers[partition]!
    if (before !== NOBODY) {
      const gapMs = nowMs - this.lastReadMs[partition]!
      if (before === member) this.longestGapMs[partition] = Math.max(this.longestGapMs[partition]!, gapMs)
      else {
        this.movedSince[partition] = 1
        recordMilliseconds(this.pauses.moved, gapMs)
      }
    }
    this.readers[partition] = member
    this.lastReadMs[partition] = nowMs
    const seat = this.seats.get(member)
    if (seat === undefined) return
    if (seat.lastReadMs === null) recordMilliseconds(this.pauses.newcomers, nowMs - seat.startedMs)
    else seat.longestGapMs = Math.max(seat.longestGapMs, nowMs - seat.lastReadMs)
    seat.lastReadMs = nowMs
  }

  private closeWindow(): void {
    for (let partition = 0; partition < this.partitions; partition += 1) {
      const gapMs = this.longestGapMs[partition]!
      if (gapMs > 0 && this.movedSince[partition] === 0) recordMilliseconds(this.pauses.stayed, gapMs)
    }
    this.longestGapMs.fill(0)
    this.movedSince.fill(0)
    for (const seat of this.seats.values()) {
      if (seat.longestGapMs > 0) recordMilliseconds(this.pauses.members, seat.longestGapMs)
      seat.longestGapMs = 0
    }
  }

  /** To be called once, at the end. */
  figures(firstStable: { readonly ms: number; readonly cpuMs: number } | null): GroupFigures {
    this.closeWindow()
    const { changes, moved, leastMoved, overlaps, reread, skipped, pauses } = this
    return {
      firstStableMs: firstStable?.ms ?? null,
      firstStableCpuMs: firstStable?.cpuMs ?? null,
      changes,
      settling: summarize(this.settling),
      unsettled: this.pendingChanges.length,
      moved,
      leastMoved,
      revoked: this.revokedCount,
      overlaps,
      reread,
      skipped,
      pauses: {
        moved: summarize(pauses.moved),
        stayed: summarize(pauses.stayed),
        members: summarize(pauses.members),
        newcomers: summarize(pauses.newcomers),
      },
    }
  }
}

function emptyPauses(): Record<'moved' | 'stayed' | 'members' | 'newcomers', Histogram> {
  return {
    moved: makeHistogram(),
    stayed: makeHistogram(),
    members: makeHistogram(),
    newcomers: makeHistogram(),
  }
}
