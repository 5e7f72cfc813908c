/**
 * Which partition a record goes to. Pure but for the chance that the sticky choice draws from the environment.
 */
import { type ClientRandom } from './env.ts'
import { type Partitioner, type PartitionerInput } from './producer/types.ts'

const SEED = 0x9747_b28c
const MULTIPLIER = 0x5bd1_e995

/** MurmurHash2 (32 bits) as Kafka's Java client has it, seed included. Returns a signed 32-bit integer. */
export function murmur2(bytes: Uint8Array): number {
  const { length } = bytes
  let hash = (SEED ^ length) | 0
  const wholeEnd = length & ~3
  for (let at = 0; at < wholeEnd; at += 4) {
    let word = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
    word = Math.imul(word, MULTIPLIER)
    word ^= word >>> 24
    word = Math.imul(word, MULTIPLIER)
    hash = Math.imul(hash, MULTIPLIER) ^ word
  }
  const rest = length & 3
  if (rest !== 0) {
    if (rest === 3) hash ^= bytes[wholeEnd + 2]! << 16
    if (rest >= 2) hash ^= bytes[wholeEnd + 1]! << 8
    hash ^= bytes[wholeEnd]!
    hash = Math.imul(hash, MULTIPLIER)
  }
  hash ^= hash >>> 13
  hash = Math.imul(hash, MULTIPLIER)
  return (hash ^ (hash >>> 15)) | 0
}

/**
 * The partition of a key, as Kafka's Java client places it: other clients find the same key in the same partition.
 */
export function partitionOfKey(key: Uint8Array, partitionCount: number): number {
  return (murmur2(key) & 0x7fff_ffff) % partitionCount
}

/**
 * The default: keys by `partitionOfKey`; records without a key fill one batch in one partition and then move on to
 * another that has a leader (KIP-480), so that batches are large and partitions get even shares over time.
 */
export function defaultPartitioner(random: ClientRandom): Partitioner {
  const sticky = new Map<string, number>()
  const choose = (input: PartitionerInput): number => {
    const { availablePartitions: available, partitionCount } = input
    if (available.length === 0) return random.int(partitionCount)
    return available[random.int(available.length)]!
  }
  return {
    partition(input) {
      if (input.key !== null) return partitionOfKey(input.key, input.partitionCount)
      let partition = sticky.get(input.topic)
      if (partition === undefined || partition >= input.partitionCount) {
        partition = choose(input)
        sticky.set(input.topic, partition)
      }
      return partition
    },
    onNewBatch(topic, partition) {
      if (sticky.get(topic) === partition) sticky.delete(topic)
    },
  }
}
