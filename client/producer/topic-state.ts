/**
 * What the producer keeps of one topic: a queue for each partition, the partitions that have a leader, and the
 * records that came before the topic's metadata did.
 */
import { type KafkaError } from '../errors.ts'
import { type TopicMetadata } from '../metadata.ts'
import { type PartitionQueue } from './partition-queue.ts'

/** A record, or all those of one `send`, serialized, before it has a place. */
export interface PendingRecord {
  readonly place: (state: TopicState) => void
  readonly fail: (error: KafkaError) => void
}

export class TopicState {
  readonly name: string
  metadata: TopicMetadata | null = null
  /** By partition; made when first needed. */
  readonly queues: (PartitionQueue | undefined)[] = []
  available: readonly number[] = []
  pending: PendingRecord[] = []
  isLoading = false

  constructor(name: string) {
    this.name = name
  }

  /** Whether a record may be placed at once: others that came before it are placed. */
  get isReady(): boolean {
    return this.metadata !== null && this.pending.length === 0
  }

  adopt(metadata: TopicMetadata): void {
    if (this.metadata === metadata) return
    this.metadata = metadata
    this.available = metadata.partitions.filter(each => each.leader >= 0).map(each => each.partition)
  }
}
