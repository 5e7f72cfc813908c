/**
 * All that a shard knows: what the log says of its groups and offsets, and the classic groups as they are in memory.
 * Changes by records and by volatile changes only.
 */
import { ClassicGroup } from './classic-group.ts'
import { ConsumerGroup } from './consumer-group.ts'
import { OffsetStore } from './offset-store.ts'
import { applyChanges } from './overlay.ts'
import { type GroupMetadataValue } from './record-schemas.ts'
import { type ConsumerGroupRecord, type GroupRecord } from './records.ts'
import { type VolatileChange } from './types.ts'

export class ShardState {
  readonly offsets = new OffsetStore()
  readonly #classicRecords = new Map<string, GroupMetadataValue>()
  readonly #classic = new Map<string, ClassicGroup>()
  readonly #consumer = new Map<string, ConsumerGroup>()

  /** Every group of which there is anything. */
  groupIds(): string[] {
    return [
      ...new Set([
        ...this.#classicRecords.keys(),
        ...this.#classic.keys(),
        ...this.#consumer.keys(),
        ...this.offsets.groupIds(),
      ]),
    ]
  }

  consumerGroup(groupId: string): ConsumerGroup | undefined {
    return this.#consumer.get(groupId)
  }

  /** What the log says of a classic group. */
  classicRecord(groupId: string): GroupMetadataValue | undefined {
    return this.#classicRecords.get(groupId)
  }

  /**
   * A group that has nothing but offsets is a classic one that nobody has ever joined. The group must not be changed
   * but by a patch.
   */
  classicGroup(groupId: string): ClassicGroup | undefined {
    if (this.#consumer.has(groupId)) return undefined
    const live = this.#classic.get(groupId)
    if (live !== undefined) return live
    const record = this.#classicRecords.get(groupId)
    if (record !== undefined) return ClassicGroup.fromRecord(groupId, record)
    return this.offsets.of(groupId) === undefined ? undefined : new ClassicGroup(groupId)
  }

  apply(record: GroupRecord): void {
    switch (record.type) {
      case 'offset-commit':
        this.offsets.apply(record)
        return
      case 'group-metadata':
        if (record.value !== null) this.#classicRecords.set(record.key.groupId, record.value)
        else {
          this.#classicRecords.delete(record.key.groupId)
          this.#classic.delete(record.key.groupId)
        }
        return
      default:
        this.#applyConsumer(record)
    }
  }

  #applyConsumer(record: ConsumerGroupRecord): void {
    const { groupId } = record.key
    let group = this.#consumer.get(groupId)
    if (group === undefined) {
      // The tombstone of what is gone already, as compaction may leave it.
      if (record.value === null) return
      group = new ConsumerGroup(groupId)
      this.#consumer.set(groupId, group)
      this.#classic.delete(groupId)
    }
    if (!group.apply(record)) this.#consumer.delete(groupId)
  }

  applyVolatile(change: VolatileChange): void {
    if (change.kind === 'classic-group') {
      if (this.#consumer.has(change.group.groupId)) return
      change.group.apply(change.patch)
      this.#classic.set(change.group.groupId, change.group)
      return
    }
    const group = this.#consumer.get(change.groupId)
    if (group === undefined) return
    group.checks = change.checks
    for (const [memberId, isExpected] of change.expectedJoins) {
      if (isExpected) group.expectedJoins.add(memberId)
      else group.expectedJoins.delete(memberId)
    }
    applyChanges(group.waiting, change.waiting)
  }
}
