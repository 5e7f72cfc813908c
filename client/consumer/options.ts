/**
 * The consumer's options after checks and defaults.
 */
import { atLeast, invalidOption, within } from '../config.ts'
import { type Isolation } from '../offsets.ts'
import { type Assignor } from './assignors/assignor.ts'
import { cooperativeStickyAssignor } from './assignors/cooperative-sticky.ts'
import { rangeAssignor } from './assignors/range.ts'
import { kafkaJsRoundRobinAssignor, roundRobinAssignor } from './assignors/round-robin.ts'
import { stickyAssignor } from './assignors/sticky.ts'
import { type AssignorName, type ConsumerOptions, type OffsetKind, type OffsetSpec } from './types.ts'

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
  /** Null without a group. */
  readonly group: GroupConfig | null
}

export interface GroupConfig {
  readonly groupId: string
  readonly groupInstanceId: string | null
  readonly protocol: 'auto' | 'classic' | 'consumer'
  readonly assignors: readonly Assignor[]
  readonly serverAssignor: string | null
  readonly sessionTimeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly rebalanceTimeoutMs: number
  readonly autoCommit: boolean
  readonly autoCommitIntervalMs: number
  readonly closeTimeoutMs: number
}

const MAX_INT32 = 0x7fff_ffff

/** Throws KafkaError INVALID_OPTION or UNSUPPORTED. */
export function resolveConsumerOptions<K, V, O extends OffsetKind>(
  options: ConsumerOptions<K, V, O>,
): ConsumerConfig {
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
    group: options.groupId === undefined ? null : resolveGroup(options.groupId, options),
  }
}

const BUILT_IN: readonly Assignor[] = [
  cooperativeStickyAssignor,
  rangeAssignor,
  roundRobinAssignor,
  stickyAssignor,
  kafkaJsRoundRobinAssignor,
]

/** Cooperative first: only what moves pauses. The others are for groups with members that know no cooperation. */
const DEFAULT_ASSIGNORS = BUILT_IN.filter(assignor => assignor !== stickyAssignor)

function resolveGroup<K, V, O extends OffsetKind>(
  groupId: string,
  options: ConsumerOptions<K, V, O>,
): GroupConfig {
  if (groupId === '') throw invalidOption('groupId is empty: give the group a name, or leave it out')
  const { protocol = 'auto', assignors } = options
  if (!['auto', 'classic', 'consumer'].includes(protocol))
    throw invalidOption(`protocol is ${JSON.stringify(protocol)}; it must be auto, classic or consumer`)
  if (protocol === 'consumer' && assignors !== undefined) {
    throw invalidOption(
      'assignors are for the classic protocol; in the consumer protocol the broker deals out: see serverAssignor',
    )
  }
  if (assignors?.length === 0) throw invalidOption('assignors is empty: name at least one')
  const sessionTimeoutMs = within('sessionTimeoutMs', options.sessionTimeoutMs ?? 45_000, 1, MAX_INT32)
  return {
    groupId,
    groupInstanceId: options.groupInstanceId ?? null,
    protocol: protocol === 'auto' && assignors !== undefined ? 'classic' : protocol,
    assignors: assignors?.map(findAssignor) ?? DEFAULT_ASSIGNORS,
    serverAssignor: options.serverAssignor ?? null,
    sessionTimeoutMs,
    heartbeatIntervalMs: within(
      'heartbeatIntervalMs',
      options.heartbeatIntervalMs ?? Math.min(3000, Math.ceil(sessionTimeoutMs / 3)),
      1,
      sessionTimeoutMs,
    ),
    rebalanceTimeoutMs: within('rebalanceTimeoutMs', options.rebalanceTimeoutMs ?? 60_000, 1, MAX_INT32),
    autoCommit: options.autoCommit ?? true,
    autoCommitIntervalMs: within('autoCommitIntervalMs', options.autoCommitIntervalMs ?? 5000, 1, MAX_INT32),
    closeTimeoutMs: within('closeTimeoutMs', options.closeTimeoutMs ?? 5000, 0, MAX_INT32),
  }
}

function findAssignor(assignor: AssignorName | Assignor): Assignor {
  if (typeof assignor !== 'string') return assignor
  const found = BUILT_IN.find(({ name }) => name === assignor)
  if (found !== undefined) return found
  throw invalidOption(
    `there is no assignor ${JSON.stringify(assignor)}; there are ${BUILT_IN.map(({ name }) => name).join(', ')}`,
  )
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
