/**
 * Which leader epoch wrote which part of the log: the list of (epoch, start offset), both strictly rising, from which
 * replicas find out where their logs part (KIP-101, KIP-279, KIP-320). It changes only by what the log itself holds:
 * new epochs are assigned at the end of the log, and cut away with it.
 *
 *   epoch 3        epoch 5             epoch 6
 *   | 0 ......... | 120 ............. | 400 ....... log end 450
 *
 *   endOffsetFor(3) = (3, 120)   endOffsetFor(4) = (3, 120)   endOffsetFor(6) = (6, 450)   endOffsetFor(7) = none
 */
import { assert } from '../../client/protocol/assert.ts'
import { type LeaderEpoch, NO_LEADER_EPOCH, type Offset } from '../../client/protocol/types.ts'

export interface EpochEntry {
  readonly epoch: LeaderEpoch
  /** Offset of the first record of this epoch, or where it would be. */
  readonly startOffset: Offset
}

export interface EpochEndOffset {
  readonly epoch: LeaderEpoch
  readonly endOffset: Offset
}

export class LeaderEpochCache {
  #entries: EpochEntry[] = []
  #version = 0

  /** `entries` as they stand in a checkpoint; an entry that contradicts an earlier one replaces it, as on `assign`. */
  constructor(entries: readonly EpochEntry[] = []) {
    for (const entry of entries) this.assign(entry.epoch, entry.startOffset)
    this.#version = 0
  }

  get entries(): readonly EpochEntry[] {
    return this.#entries
  }

  /** Counts the changes: whoever writes the checkpoint compares it. */
  get version(): number {
    return this.#version
  }

  /** The latest epoch, -1 while there is none. */
  get latestEpoch(): LeaderEpoch {
    return this.#entries.at(-1)?.epoch ?? NO_LEADER_EPOCH
  }

  /**
   * From `startOffset` on, the log is written in `epoch`. Entries that contradict it (a later start, an epoch as high)
   * are dropped: the log says what is true, and it has just been written there. False when nothing changed.
   */
  assign(epoch: LeaderEpoch, startOffset: Offset): boolean {
    assert(epoch >= 0 && startOffset >= 0, 'an epoch is assigned from an offset on, neither is negative')
    const last = this.#entries.at(-1)
    if (last !== undefined && last.epoch === epoch && startOffset >= last.startOffset) return false
    while (this.#entries.length > 0) {
      const entry = this.#entries.at(-1)!
      if (entry.epoch < epoch && entry.startOffset < startOffset) break
      this.#entries.pop()
    }
    this.#entries.push({ epoch, startOffset })
    this.#version += 1
    return true
  }

  /**
   * Where the largest epoch that is not above `epoch` ends (OffsetForLeaderEpoch). Null when `epoch` is unknown here
   * because it is higher than any, or when nothing is known at all.
   */
  endOffsetFor(epoch: LeaderEpoch, logEndOffset: Offset): EpochEndOffset | null {
    const entries = this.#entries
    const last = entries.at(-1)
    if (last === undefined || epoch < 0 || epoch > last.epoch) return null
    if (epoch === last.epoch) return { epoch, endOffset: logEndOffset }
    for (let index = entries.length - 2; index >= 0; index--) {
      const entry = entries[index]!
      if (entry.epoch <= epoch) return { epoch: entry.epoch, endOffset: entries[index + 1]!.startOffset }
    }
    // Older than everything that is left: whatever it wrote ended where the first known epoch starts.
    return { epoch, endOffset: entries[0]!.startOffset }
  }

  /** The epoch in which `offset` was written, -1 when that is not known. */
  epochAt(offset: Offset): LeaderEpoch {
    for (let index = this.#entries.length - 1; index >= 0; index--) {
      const entry = this.#entries[index]!
      if (entry.startOffset <= offset) return entry.epoch
    }
    return NO_LEADER_EPOCH
  }

  /** The log now ends at `endOffset`: epochs that would start there or later are gone. */
  truncateFromEnd(endOffset: Offset): boolean {
    const before = this.#entries.length
    while (this.#entries.length > 0 && this.#entries.at(-1)!.startOffset >= endOffset) this.#entries.pop()
    return this.#changed(before !== this.#entries.length)
  }

  /** The log now starts at `startOffset`: the epoch that was current there starts there, older ones are gone. */
  truncateFromStart(startOffset: Offset): boolean {
    const floor = this.#entries.findLastIndex(entry => entry.startOffset <= startOffset)
    if (floor === -1) return false
    if (floor === 0 && this.#entries[0]!.startOffset === startOffset) return false
    const current = this.#entries[floor]!
    this.#entries.splice(0, floor + 1, { epoch: current.epoch, startOffset })
    return this.#changed(true)
  }

  /** The log starts anew: nothing that was known holds. */
  clear(): void {
    this.#changed(this.#entries.length > 0)
    this.#entries = []
  }

  #changed(changed: boolean): boolean {
    if (changed) this.#version += 1
    return changed
  }
}
