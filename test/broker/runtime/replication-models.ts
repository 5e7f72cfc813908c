/**
 * Logs as simple as can be, and partitions made of them: one that leads, for the real fetch handler to read, and one
 * that follows, for the real fetchers to fill. The follower keeps the very bytes that it was given, as the tail cache
 * does.
 */

import { LeaderEpochCache } from '../../../broker/log/leader-epochs.ts'
import { type FollowedHost } from '../../../broker/runtime/follower-session.ts'
import { type PartitionHost } from '../../../broker/runtime/partition-host.ts'
import {
  type FetchOutcome,
  type ReadRequest,
  type ReplicaFetch,
  type ReplicaPosition,
  type ReplicatedFrom,
  type ReplicateOutcome,
  type TruncateOutcome,
} from '../../../broker/runtime/partition-types.ts'
import { type Waiter, type Wakeable } from '../../../broker/runtime/purgatory.ts'
import { type Retained } from '../../../broker/slab.ts'
import {
  batchBaseOffset,
  batchByteLength,
  batchLastOffset,
  batchLeaderEpoch,
} from '../../../client/protocol/batch.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { encodeBatch } from '../../../client/protocol/record.ts'
import { type LeaderEpoch, type Offset, type TopicId } from '../../../client/protocol/types.ts'

export const TOPIC_ID = 'b'.repeat(32) as TopicId
export const TOPIC = 'orders'

interface StoredBatch {
  readonly base: number
  readonly last: number
  readonly bytes: Uint8Array
}

export class ModelLog {
  start = 0
  batches: StoredBatch[] = []
  epochs = new LeaderEpochCache()
  #end = 0

  get end(): number {
    return this.#end
  }

  produce(epoch: number, records: number, payload: string): void {
    const values = Array.from({ length: records }, (_, index) => ({
      value: `${payload}/${index}`,
      timestamp: 1_700_000_000_000,
    }))
    const options = { baseOffset: this.end as Offset, leaderEpoch: epoch as LeaderEpoch }
    this.append(encodeBatch(values, options))
  }

  /** One batch, which must follow. */
  append(bytes: Uint8Array): void {
    const base = batchBaseOffset(bytes, 0)
    const last = batchLastOffset(bytes, 0)
    if (base !== this.#end) throw new Error(`batch ${base} does not follow ${this.#end}`)
    this.epochs.assign(batchLeaderEpoch(bytes, 0), base)
    this.batches.push({ base, last, bytes })
    this.#end = last + 1
  }

  truncate(end: number): void {
    this.batches = this.batches.filter(batch => batch.last < end)
    // Offsets inside a batch do not exist for a cut.
    this.#end = Math.max(this.start, (this.batches.at(-1)?.last ?? this.start - 1) + 1)
    this.epochs.truncateFromEnd(this.#end as Offset)
  }

  startOver(at: number): void {
    this.batches = []
    this.epochs.clear()
    this.start = at
    this.#end = at
  }

  moveStart(to: number): void {
    this.start = Math.max(this.start, Math.min(to, this.#end))
    this.epochs.truncateFromStart(this.start as Offset)
    this.batches = this.batches.filter(batch => batch.last >= this.start)
  }

  copy(): ModelLog {
    const copy = new ModelLog()
    copy.start = this.start
    copy.batches = [...this.batches]
    copy.epochs = new LeaderEpochCache(this.epochs.entries)
    copy.#end = this.#end
    return copy
  }

  /** Everything from `from` on, for comparison. */
  describe(from: number): string[] {
    return this.batches
      .filter(batch => batch.last >= from)
      .map(({ base, last, bytes }) => `${base}-${last} ${Buffer.from(bytes).toString('base64')}`)
  }
}

class Waiters implements Wakeable {
  readonly #waiters = new Set<Waiter>()
  addWaiter(waiter: Waiter): void {
    this.#waiters.add(waiter)
  }
  removeWaiter(waiter: Waiter): void {
    this.#waiters.delete(waiter)
  }
  wake(): void {
    for (const waiter of this.#waiters) waiter.wake()
  }
}

/** A partition that leads, as far as the handlers of Fetch and ListOffsets look at one. */
export class LeaderModel {
  readonly topicId = TOPIC_ID
  readonly topicName = TOPIC
  readonly partition: number
  readonly log: ModelLog
  readonly replicaWaiters = new Waiters()
  readonly #waiters = new Waiters()
  readonly role = 'leader'
  readonly online = true
  leaderEpoch: number
  highWatermark = 0
  /** How often a follower's position was taken note of. */
  notes = 0

  constructor(partition: number, log: ModelLog, epoch: number) {
    this.partition = partition
    this.log = log
    this.leaderEpoch = epoch
    log.epochs.assign(epoch as LeaderEpoch, log.end as Offset)
  }

  /** For a context of the handlers. */
  asHost(): PartitionHost {
    return this as unknown as PartitionHost
  }

  addWaiter(waiter: Waiter): void {
    this.#waiters.addWaiter(waiter)
  }

  removeWaiter(waiter: Waiter): void {
    this.#waiters.removeWaiter(waiter)
  }

  /** Its bounds have moved. */
  moved(): void {
    this.#waiters.wake()
  }

  hasInSync(): boolean {
    return true
  }

  produce(records: number, payload: string): void {
    this.log.produce(this.leaderEpoch, records, payload)
    this.replicaWaiters.wake()
  }

  get state() {
    const { start, end, epochs } = this.log
    return { logStartOffset: start, logEndOffset: end, writtenOffset: end, epochs }
  }

  checkLeader(epoch: number): ErrorCode {
    if (epoch === -1 || epoch === this.leaderEpoch) return ErrorCode.NONE
    return epoch < this.leaderEpoch ? ErrorCode.FENCED_LEADER_EPOCH : ErrorCode.UNKNOWN_LEADER_EPOCH
  }

  replicaFetched(fetch: ReplicaFetch): ErrorCode {
    this.notes++
    const error = this.checkLeader(fetch.leaderEpoch)
    if (error !== ErrorCode.NONE) return error
    if (fetch.brokerEpoch !== 77) return ErrorCode.STALE_BROKER_EPOCH
    if (fetch.fetchOffset <= this.log.end && fetch.fetchOffset > this.highWatermark) {
      this.highWatermark = fetch.fetchOffset
      this.moved()
    }
    return ErrorCode.NONE
  }

  replicableBytes(offset: Offset): number {
    const { start, end, batches } = this.log
    if (offset < start || offset > end) return Infinity
    return batches.reduce((sum, batch) => sum + (batch.last >= offset ? batch.bytes.length : 0), 0)
  }

  readForReplica(request: ReadRequest): FetchOutcome {
    const error = this.checkLeader(request.currentLeaderEpoch)
    if (error !== ErrorCode.NONE) return this.#outcome(error)
    const { start, end, epochs, batches } = this.log
    const { offset, lastFetchedEpoch } = request
    if (lastFetchedEpoch !== -1) {
      const found = epochs.endOffsetFor(lastFetchedEpoch as LeaderEpoch, end as Offset)
      if (found === null) return this.#outcome(ErrorCode.OFFSET_OUT_OF_RANGE)
      if (found.epoch !== lastFetchedEpoch || found.endOffset < offset) {
        return { ...this.#outcome(ErrorCode.NONE), divergingEpoch: found }
      }
    }
    if (offset < start || offset > end) return this.#outcome(ErrorCode.OFFSET_OUT_OF_RANGE)
    const slices: Uint8Array[] = []
    let byteLength = 0
    for (const { last, bytes } of batches) {
      if (last < offset) continue
      const isFirst = byteLength === 0 && request.atLeastOne
      if (!isFirst && byteLength + bytes.length > request.maxBytes) break
      slices.push(bytes)
      byteLength += bytes.length
    }
    return { ...this.#outcome(ErrorCode.NONE), slices, byteLength }
  }

  async listOffset(timestamp: number, _isolation: string, epoch: number) {
    const error = this.checkLeader(epoch)
    const { start } = this.log
    return timestamp === -2 && error === ErrorCode.NONE
      ? { error, timestamp: -1, offset: start, leaderEpoch: this.leaderEpoch }
      : { error: error || ErrorCode.INVALID_REQUEST, timestamp: -1, offset: -1, leaderEpoch: -1 }
  }

  #outcome(error: ErrorCode): FetchOutcome {
    const known = error === ErrorCode.NONE
    return {
      error,
      highWatermark: known ? this.highWatermark : -1,
      lastStableOffset: known ? this.highWatermark : -1,
      logStartOffset: known ? this.log.start : -1,
      divergingEpoch: null,
      abortedTransactions: null,
      slices: [],
      byteLength: 0,
      release() {},
    }
  }
}

/** What happens to a follower's work: how long it takes, and how it ends. */
export interface Fate {
  readonly ms: number
  readonly outcome: ReplicateOutcome
}

/** A partition that follows. What it is asked to do wrongly it notes in `violations`. */
export class FollowerModel implements FollowedHost {
  readonly topicId = TOPIC_ID
  readonly topicName = TOPIC
  readonly partition: number
  readonly log: ModelLog
  readonly violations: string[] = []
  readonly kept: Retained[] = []
  epoch = -1
  highWatermark = -1
  truncations = 0
  /** While true, it has no position. */
  isAway = false
  readonly #after: (ms: number) => Promise<void>
  readonly #fate: () => Fate
  readonly #waiters = new Waiters()
  #busy = false

  constructor(
    partition: number,
    options: { after: (ms: number) => Promise<void>; fate?: () => Fate; log?: ModelLog },
  ) {
    this.partition = partition
    this.log = options.log ?? new ModelLog()
    this.#after = options.after
    this.#fate = options.fate ?? (() => ({ ms: 1, outcome: 'ok' }))
  }

  get name(): string {
    return `${TOPIC}-${this.partition}`
  }

  follow(epoch: number): void {
    if (epoch < this.epoch) throw new Error('epochs rise')
    this.epoch = epoch
  }

  back(): void {
    this.isAway = false
    this.#waiters.wake()
  }

  addWaiter(waiter: Waiter): void {
    this.#waiters.addWaiter(waiter)
  }

  removeWaiter(waiter: Waiter): void {
    this.#waiters.removeWaiter(waiter)
  }

  replicaPosition(): ReplicaPosition | null {
    if (this.isAway || this.#busy) return null
    return {
      fetchOffset: this.log.end as Offset,
      lastFetchedEpoch: this.log.epochs.latestEpoch,
      logStartOffset: this.log.start as Offset,
      leaderEpoch: this.epoch as LeaderEpoch,
    }
  }

  async replicate(
    records: Uint8Array,
    owner: Retained | null,
    from: ReplicatedFrom,
  ): Promise<ReplicateOutcome> {
    this.#enter('replicate')
    if (from.fetchOffset !== this.log.end)
      this.violations.push(`an answer for ${from.fetchOffset}, at ${this.log.end}`)
    // Who keeps nothing holds nothing.
    const kept = records.length > 0 ? owner : null
    kept?.retain()
    const { ms, outcome } = this.#fate()
    await this.#after(ms)
    this.#busy = false
    if (outcome !== 'ok' || from.epoch !== this.epoch) {
      kept?.release()
      return outcome === 'ok' ? 'fenced' : outcome
    }
    if (kept !== null) this.kept.push(kept)
    if (this.#beginsWithin(records, from)) this.log.startOver(batchBaseOffset(records, 0))
    for (let position = 0; position < records.length; ) {
      const length = batchByteLength(records, position)
      const batch = records.subarray(position, position + length)
      if (batchBaseOffset(batch, 0) !== this.log.end) {
        this.violations.push(`batch ${batchBaseOffset(batch, 0)} at ${this.log.end}`)
        return 'corrupt'
      }
      this.log.append(batch)
      position += length
    }
    this.highWatermark = Math.min(from.highWatermark, this.log.end)
    if (from.logStartOffset > this.log.start) this.log.moveStart(from.logStartOffset)
    return 'ok'
  }

  async diverged(epoch: number, endOffset: number, leaderEpoch: LeaderEpoch): Promise<TruncateOutcome> {
    this.#enter('diverged')
    await this.#after(1)
    this.#busy = false
    if (leaderEpoch !== this.epoch) return 'fenced'
    const own = this.log.epochs.endOffsetFor(epoch as LeaderEpoch, this.log.end as Offset)
    const to = Math.min(own?.endOffset ?? endOffset, endOffset)
    if (to >= this.log.end) this.violations.push(`a divergence at ${to} leaves all up to ${this.log.end}`)
    if (to < this.log.start) this.log.startOver(to)
    else this.log.truncate(to)
    this.truncations++
    return 'ok'
  }

  async startOver(atOffset: Offset, leaderEpoch: LeaderEpoch): Promise<TruncateOutcome> {
    this.#enter('startOver')
    await this.#after(1)
    this.#busy = false
    if (leaderEpoch !== this.epoch) return 'fenced'
    this.log.startOver(atOffset)
    return 'ok'
  }

  /** The leader's log starts inside of the batch, and nothing that is here is offered by it. */
  #beginsWithin(records: Uint8Array, { logStartOffset }: ReplicatedFrom): boolean {
    const { start, end } = this.log
    if (records.length === 0 || (start !== end && end > logStartOffset)) return false
    return batchBaseOffset(records, 0) < end && batchLastOffset(records, 0) >= end
  }

  #enter(what: string): void {
    if (this.#busy) this.violations.push(`${what} while it is at work`)
    this.#busy = true
  }
}
