/**
 * The consumer's options after checks and defaults.
 */
import { atLeast, invalidOption, within } from '../config.ts'
import { KafkaError } from '../errors.ts'
import { type Isolation } from '../offsets.ts'
import { type ConsumerOptions, type OffsetKind, type OffsetSpec } from './types.ts'

export interface ConsumerConfig {
  readonly offsets: OffsetKind
  readonly isolation: Isolation
  readonly onOffsetOutOfRange: 'earliest' | 'latest' | 'error'
  readonly maxBytes: number
  readonly fetchMaxBytes: number
  readonly fetchPartitionMaxBytes: number
  readonly fetchMinBytes: number
  readonly fetchMaxWaitMs: number
  readonly checkCrc: boolean
  readonly stalledAfterMs: number
  readonly rack: string
  readonly allowAutoTopicCreation: boolean
}

const MAX_INT32 = 0x7fff_ffff

/** Throws KafkaError INVALID_OPTION or UNSUPPORTED. */
export function resolveConsumerOptions<K, V, O extends OffsetKind>(
  options: ConsumerOptions<K, V, O>,
): ConsumerConfig {
  if (options.groupId !== undefined) {
    throw new KafkaError({
      code: 'UNSUPPORTED',
      message:
        `Consumer groups are not implemented yet, so groupId ${JSON.stringify(options.groupId)} is refused. Leave it out ` +
        'and use assign, or subscribe to read all partitions of a topic.',
    })
  }
  const fetchMaxBytes = within('fetchMaxBytes', options.fetchMaxBytes ?? 8 * 1024 * 1024, 1, MAX_INT32)
  return {
    offsets: options.offsets ?? 'number',
    isolation: options.isolation ?? 'read_uncommitted',
    onOffsetOutOfRange: options.onOffsetOutOfRange ?? 'error',
    maxBytes: atLeast('maxBytes', options.maxBytes ?? 32 * 1024 * 1024, 1),
    fetchMaxBytes,
    fetchPartitionMaxBytes: within(
      'fetchPartitionMaxBytes',
      options.fetchPartitionMaxBytes ?? 2 * 1024 * 1024,
      1,
      MAX_INT32,
    ),
    fetchMinBytes: within('fetchMinBytes', options.fetchMinBytes ?? 1, 0, MAX_INT32),
    fetchMaxWaitMs: within('fetchMaxWaitMs', options.fetchMaxWaitMs ?? 500, 0, MAX_INT32),
    checkCrc: options.checkCrc ?? true,
    stalledAfterMs: within('stalledAfterMs', options.stalledAfterMs ?? 30_000, 0, MAX_INT32),
    rack: options.rack ?? '',
    allowAutoTopicCreation: options.allowAutoTopicCreation ?? false,
  }
}

/** A spec as something that needs no look-up (a number), or that does. Throws KafkaError INVALID_OPTION. */
export function checkOffsetSpec(
  spec: OffsetSpec,
): number | 'earliest' | 'latest' | { readonly timestamp: number } {
  if (typeof spec === 'bigint' || typeof spec === 'number') {
    const offset = Number(spec)
    if (Number.isSafeInteger(offset) && offset >= 0) return offset
  } else if (spec === 'earliest' || spec === 'latest') {
    return spec
  } else if (typeof spec === 'object' && Number.isSafeInteger(spec.timestamp) && spec.timestamp >= 0) {
    return spec
  }
  throw invalidOption(
    `${typeof spec === 'object' ? JSON.stringify(spec) : String(spec)} is no position: give an offset from 0 on, ` +
      "'earliest', 'latest', or { timestamp: milliseconds since 1970 }",
  )
}
