/**
 * Values of any message in any version, made from its schema, that a handler does not refuse at its first line: names
 * are those of things that exist, or nearly, and numbers are those that mean something to a field of that name.
 */
import {
  type FieldLayout,
  type ScalarLayout,
  type StructLayout,
  type TypeLayout,
} from '../../client/protocol/compile.ts'
import { ZERO_TOPIC_ID } from '../../client/protocol/types.ts'
import { defaultOf } from '../client/protocol/arbitrary.ts'
import { makeRecords } from './batches.ts'
import { type Chance } from './chance.ts'

/** What exists, for requests that mean it. */
export interface Vocabulary {
  readonly topics: readonly string[]
  readonly topicIds: readonly string[]
}

export type Value = Record<string, unknown>

const ODD_NAMES: readonly string[] = [
  '',
  '.',
  '..',
  '../../etc/passwd',
  '/',
  '__proto__',
  'constructor',
  'toString',
  'hasOwnProperty',
  '__cluster_metadata',
  '__consumer_offsets',
  'a\u0000b',
  'line\nbreak\u001b[31m',
  '(a+)+$',
  'x'.repeat(249),
  'x'.repeat(250),
  '\ufffd\ud83d\ude00',
  'ghost',
  '*',
  '1',
  '-1',
]

const CONFIGS: readonly string[] = [
  'retention.ms',
  'retention.bytes',
  'segment.bytes',
  'segment.ms',
  'max.message.bytes',
  'cleanup.policy',
  'message.timestamp.type',
  'flush.messages',
  'min.insync.replicas',
  'compression.type',
  'num.partitions',
  'index.interval.bytes',
  '__proto__',
]

const CONFIG_VALUES: readonly string[] = [
  '',
  '0',
  '1',
  '-1',
  '100',
  '1048576',
  '9223372036854775807',
  '99999999999999999999999',
  '1e9',
  'NaN',
  ' 5 ',
  'true',
  'delete',
  'compact',
  'delete,compact',
  'LogAppendTime',
  'CreateTime',
  'producer',
  'gzip',
  'zstd',
]

/** Numbers by the field that they stand in; what is not listed is any number. */
const NUMBERS: Readonly<Record<string, readonly number[]>> = {
  acks: [-1, -1, 0, 1, 2],
  timeoutMs: [0, 1, 10, -1, 0x7fff_ffff],
  maxWaitMs: [0, 0, 0, 1, -1, 5, 0x7fff_ffff],
  minBytes: [0, 1, -1, 0x7fff_ffff],
  maxBytes: [0, 1, 100, 1 << 20, -1, 0x7fff_ffff],
  partitionMaxBytes: [0, 1, 100, 1 << 20, -1, 0x7fff_ffff],
  index: [0, 0, 1, 2, -1, 0x7fff_ffff],
  partition: [0, 0, 1, 2, -1, 0x7fff_ffff],
  partitionIndex: [0, 0, 1, 2, -1, 0x7fff_ffff],
  fetchOffset: [0, 0, 1, 2, 5, -1, Number.MAX_SAFE_INTEGER],
  offset: [0, 0, 1, 2, 5, -1, -2, Number.MAX_SAFE_INTEGER],
  timestamp: [-1, -2, -3, -4, -5, -6, 0, 1_700_000_000_000, Number.MAX_SAFE_INTEGER],
  currentLeaderEpoch: [-1, -1, 0, 1, 0x7fff_ffff],
  leaderEpoch: [-1, 0, 1, 0x7fff_ffff],
  lastFetchedEpoch: [-1, -1, 0, 1],
  replicaId: [-1, -1, -1, 0, 1, -2],
  sessionId: [0, 0, 0, 1, -1],
  sessionEpoch: [-1, -1, 0, 0, 1, 0x7fff_ffff],
  isolationLevel: [0, 1, 2, -1],
  numPartitions: [-1, 1, 2, 3, 0, 20_000, 0x7fff_ffff],
  count: [1, 2, 3, 4, 0, -1, 0x7fff_ffff],
  replicationFactor: [-1, -1, 1, 0, 2, 0x7fff],
  resourceType: [2, 2, 4, 8, 0, 127],
  configOperation: [0, 1, 2, 3, 4],
  responsePartitionLimit: [1, 2, 2000, 0, -1, 0x7fff_ffff],
}

const MAX_ELEMENTS = 4

export function makeValue(struct: StructLayout, chance: Chance, words: Vocabulary): Value {
  return new Maker(chance, words).struct(struct)
}

class Maker {
  readonly #chance: Chance
  readonly #words: Vocabulary

  constructor(chance: Chance, words: Vocabulary) {
    this.#chance = chance
    this.#words = words
  }

  struct(struct: StructLayout): Value {
    const value: Value = {}
    for (const field of struct.fields) value[field.name] = this.#field(field)
    if (struct.flexible && this.#chance.once(12)) value['unknownTaggedFields'] = this.#unknown(struct)
    return value
  }

  #field(field: FieldLayout): unknown {
    if (!field.present || this.#chance.once(field.tag === null ? 30 : 3)) return defaultOf(field)
    if (field.nullable && this.#chance.once(6)) return null
    return this.#type(field.name, field.type)
  }

  #type(name: string, type: TypeLayout): unknown {
    switch (type.kind) {
      case 'scalar':
        return this.#scalar(name, type.scalar)
      case 'array': {
        const length = this.#chance.once(5) ? this.#chance.size(30) : this.#chance.int(MAX_ELEMENTS)
        return Array.from({ length }, () => this.#type(name, type.element))
      }
      case 'struct':
        return this.struct(type.struct)
      default:
        return type satisfies never
    }
  }

  #scalar(name: string, scalar: ScalarLayout): unknown {
    const chance = this.#chance
    switch (scalar) {
      case 'int8':
        return this.#number(name, 8)
      case 'int16':
        return this.#number(name, 16)
      case 'uint16':
        return chance.int(0x1_0000)
      case 'int32':
        return this.#number(name, 32)
      case 'int64':
        return this.#number(name, 64)
      case 'bigInt64':
        return chance.once(2) ? -1n : BigInt(chance.integer(64))
      case 'float64':
        return chance.pick([0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, -Number.MAX_VALUE])
      case 'bool':
        return chance.once(2)
      case 'uuid':
        return this.#topicId()
      case 'string':
        return this.#string(name)
      case 'bytes':
        return chance.bytes(chance.size(200))
      case 'records':
        return chance.once(20) ? null : makeRecords(chance)
      default:
        return scalar satisfies never
    }
  }

  #number(name: string, bits: 8 | 16 | 32 | 64): number {
    const meant = NUMBERS[name]
    if (meant === undefined || this.#chance.once(10)) return this.#chance.integer(bits)
    const limit = bits === 64 ? Number.MAX_SAFE_INTEGER : 2 ** (bits - 1) - 1
    return Math.max(-limit - 1, Math.min(limit, this.#chance.pick(meant)))
  }

  #string(name: string): string {
    const chance = this.#chance
    if (/config|key/i.test(name) && chance.once(2)) return chance.pick(CONFIGS)
    if (name === 'value') return chance.once(6) ? this.#text() : chance.pick(CONFIG_VALUES)
    if (name === 'name' && chance.once(5)) return chance.pick(CONFIGS)
    if (chance.once(6)) return chance.once(2) ? chance.pick(ODD_NAMES) : this.#text()
    return chance.pick(this.#words.topics)
  }

  #text(): string {
    const chance = this.#chance
    const unit = chance.pick(['a', 'z.', '\u00e4', '\u20ac', '\ud83d\ude00', '\u0000', '%s', '"'])
    return unit.repeat(chance.size(Math.floor(0x7fff / Buffer.byteLength(unit))))
  }

  #topicId(): string {
    const { topicIds } = this.#words
    if (topicIds.length === 0 || this.#chance.once(6)) {
      return this.#chance.once(2) ? ZERO_TOPIC_ID : this.#chance.bytes(16).toString('hex')
    }
    return this.#chance.pick(topicIds)
  }

  #unknown(struct: StructLayout): unknown {
    const known = new Set(struct.fields.filter(field => field.present).map(({ tag }) => tag))
    const tags = [this.#chance.int(12), 1000 + this.#chance.int(1000)].filter(tag => !known.has(tag))
    return tags.map(tag => ({ tag, data: this.#chance.bytes(this.#chance.size(40)) }))
  }
}
