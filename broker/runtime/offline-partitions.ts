/**
 * The partitions that belong to this broker and could not be opened when it started: a disk that does not read, rights
 * that are missing, damage that cannot be set aside. Their clients are told so and everything else is served, as Kafka
 * does with a log directory that fails. Until the next start nothing of them is touched, and what was known of them
 * stays in the checkpoints, or records that were deleted would come back after the repair.
 *
 * A bug is none of these: it must never pass for a partition that is out of order.
 */
import { type Offset, type TopicId } from '../../client/protocol/types.ts'
import { DiskError, type Log } from '../env.ts'
import { MetadataFileError } from '../storage/metadata-files.ts'
import { CorruptLogError } from '../storage/types.ts'
import { DataFolderError } from './data-folder.ts'
import { partitionFolderName } from './partition-folders.ts'

export interface OfflinePartition {
  readonly topicId: TopicId
  readonly topicName: string
  readonly partition: number
  /** Why it could not be opened. */
  readonly error: Error
  /** What the checkpoints said of it, 0 where nothing. */
  readonly recoveryPoint: Offset
  readonly highWatermark: Offset
  readonly logStartOffset: Offset
  readonly cleanedTo: Offset
}

/** Whether opening a partition failed for a reason that lies in its files or their disk. */
export function isOutOfOrder(error: unknown): error is Error {
  return (
    error instanceof DiskError ||
    error instanceof CorruptLogError ||
    error instanceof MetadataFileError ||
    error instanceof DataFolderError
  )
}

export class OfflinePartitions {
  readonly #partitions = new Map<string, OfflinePartition>()
  #topics: ReadonlySet<TopicId> = new Set()

  get size(): number {
    return this.#partitions.size
  }

  add(offline: OfflinePartition): void {
    this.#partitions.set(keyOf(offline.topicId, offline.partition), offline)
    this.#topicsChanged()
  }

  /** What it was, where it was one of them. */
  remove(topicId: TopicId, partition: number): OfflinePartition | undefined {
    const key = keyOf(topicId, partition)
    const offline = this.#partitions.get(key)
    this.#partitions.delete(key)
    this.#topicsChanged()
    return offline
  }

  has(topicId: TopicId, partition: number): boolean {
    return this.#topics.has(topicId) && this.#partitions.has(keyOf(topicId, partition))
  }

  /** Whether any partition of a topic is. */
  hasTopic(topicId: TopicId): boolean {
    return this.#topics.has(topicId)
  }

  [Symbol.iterator](): Iterator<OfflinePartition> {
    return this.#partitions.values()
  }

  /** Tells the operator of each. */
  report(log: Log): void {
    for (const { topicName, partition, error } of this) {
      log.error(
        'A partition cannot be opened and is offline: its clients are told so, all others are served. ' +
          'Nothing of it is removed, and nothing added. Correct the cause and start the broker again. Where its files are ' +
          'beyond help, stop the broker, move the folder away and start: the partition then begins anew, without records',
        { folder: partitionFolderName(topicName, partition), error },
      )
    }
  }

  #topicsChanged(): void {
    this.#topics = new Set(Array.from(this.#partitions.values(), ({ topicId }) => topicId))
  }
}

function keyOf(topicId: TopicId, partition: number): string {
  return `${topicId} ${partition}`
}
