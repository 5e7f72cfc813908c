/**
 * The producer's options after checks and defaults.
 */
import { atLeast, type ClientConfig, invalidOption, within } from '../config.ts'
import { KafkaError } from '../errors.ts'
import { CODEC_AVAILABILITY, CODEC_NAMES } from '../protocol/compression.ts'
import { type WireAcks } from './batch.ts'
import { type Acks, type CompressionName, type ProducerOptions } from './types.ts'

export interface ProducerConfig {
  readonly acks: WireAcks
  readonly compression: CompressionName
  readonly idempotent: boolean
  readonly lingerMs: number
  readonly batchBytes: number
  readonly bufferBytes: number
  readonly maxRequestBytes: number
  readonly maxInFlightRequests: number
  readonly deliveryTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly allowAutoTopicCreation: boolean
}

/** The broker remembers the last five batches of a producer: with more under way it could miss a repetition. */
const MAX_IDEMPOTENT_IN_FLIGHT = 5

/** Throws KafkaError INVALID_OPTION or CODEC_MISSING. */
export function resolveProducerOptions<K, V>(
  options: ProducerOptions<K, V>,
  client: ClientConfig,
): ProducerConfig {
  const anyAcks = wireAcks(options.acks ?? 'all', false)
  const idempotent = options.idempotent ?? anyAcks === -1
  const acks = wireAcks(options.acks ?? 'all', idempotent)
  const compression = options.compression ?? 'none'
  checkCodec(compression)
  const batchBytes = within('batchBytes', options.batchBytes ?? 512 * 1024, 1, 0x7fff_ffff)
  return {
    acks,
    compression,
    idempotent,
    batchBytes,
    lingerMs: within('lingerMs', options.lingerMs ?? 5, 0, 0x7fff_ffff),
    bufferBytes: atLeast('bufferBytes', options.bufferBytes ?? 32 * 1024 * 1024, 1),
    maxRequestBytes: atLeast('maxRequestBytes', options.maxRequestBytes ?? 8 * 1024 * 1024, 1),
    maxInFlightRequests: within(
      'maxInFlightRequests',
      options.maxInFlightRequests ?? MAX_IDEMPOTENT_IN_FLIGHT,
      1,
      idempotent ? MAX_IDEMPOTENT_IN_FLIGHT : Number.POSITIVE_INFINITY,
    ),
    deliveryTimeoutMs: within('deliveryTimeoutMs', options.deliveryTimeoutMs ?? 120_000, 1, 0x7fff_ffff),
    requestTimeoutMs: within(
      'requestTimeoutMs',
      options.requestTimeoutMs ?? client.requestTimeoutMs,
      1,
      0x7fff_ffff,
    ),
    allowAutoTopicCreation: options.allowAutoTopicCreation ?? true,
  }
}

/** Throws KafkaError INVALID_OPTION. */
export function wireAcks(acks: Acks, idempotent: boolean): WireAcks {
  const wire = acks === 'all' ? -1 : acks
  if (wire !== -1 && wire !== 0 && wire !== 1)
    throw invalidOption(`acks is ${String(acks)}; it must be 'all', 1 or 0`)
  if (idempotent && wire !== -1) {
    throw invalidOption(
      `acks ${wire} does not go with an idempotent producer: use acks 'all', or idempotent: false`,
    )
  }
  return wire
}

function checkCodec(compression: CompressionName): void {
  if (!CODEC_NAMES.includes(compression)) {
    throw invalidOption(`compression is ${String(compression)}; it must be one of ${CODEC_NAMES.join(', ')}`)
  }
  const { available, advice } = CODEC_AVAILABILITY[compression]
  if (available) return
  throw new KafkaError({
    code: 'CODEC_MISSING',
    message: `The codec ${compression} is not available here, so the producer cannot use it: ${advice ?? ''}`,
  })
}
