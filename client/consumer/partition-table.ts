/**
 * The partitions that a consumer reads at the moment.
 */
import { invalidOption } from '../config.ts'
import { type ConsumerPartition } from './partition.ts'
import { type TopicPartition } from './types.ts'

export class PartitionTable {
  #list: readonly ConsumerPartition[] = []
  #byKey = new Map<string, ConsumerPartition>()

  /** In a stable order. A change makes a new list. */
  get list(): readonly ConsumerPartition[] {
    return this.#list
  }

  get(place: TopicPartition): ConsumerPartition | undefined {
    return this.#byKey.get(keyOf(place))
  }

  has(partition: ConsumerPartition): boolean {
    return this.get(partition) === partition
  }

  /** Throws KafkaError INVALID_OPTION. */
  find(place: TopicPartition): ConsumerPartition {
    const found = this.get(place)
    if (found !== undefined) return found
    throw invalidOption(`${place.topic}-${place.partition} is not assigned to this consumer`)
  }

  add(partitions: readonly ConsumerPartition[]): void {
    this.replace([...this.#list, ...partitions])
  }

  /** Whoever holds a batch of a removed partition will not go on with it. */
  remove(partitions: readonly ConsumerPartition[]): void {
    const gone = new Set(partitions)
    this.replace(this.#list.filter(partition => !gone.has(partition)))
  }

  /** Of two for one place the later one stays. */
  replace(partitions: readonly ConsumerPartition[]): void {
    this.#byKey = new Map(partitions.map(partition => [keyOf(partition), partition]))
    const before = this.#list
    this.#list = [...this.#byKey.values()]
    const staying = new Set(this.#list)
    for (const partition of before) if (!staying.has(partition)) partition.drop()
  }
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${partition}/${topic}`
}
