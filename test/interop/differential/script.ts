/**
 * A script of requests that is put to two brokers, and what each of them says: answers without what must differ (ids,
 * addresses, times, the wording of messages), so that two transcripts can be compared line by line.
 */
import '../../../client/env-node.ts'
import { API, type Api } from '../../../client/protocol/apis.ts'
import { forEachBatch } from '../../../client/protocol/batch.ts'
import { type BatchOptions, decodeRecords, encodeBatch } from '../../../client/protocol/record.ts'
import { type ProducerEpoch, type ProducerId, type TopicId } from '../../../client/protocol/types.ts'
import { type Peer } from '../peer.ts'

export interface Scenario {
  readonly name: string
  run(script: Script): Promise<void>
}

export interface Line {
  readonly what: string
  readonly answer: unknown
}

/** A broker, or brokers of which it does not matter who answers. */
export type Respondent = Pick<Peer, 'ask' | 'tell' | 'serves'>

export interface ScriptOptions {
  /** Who has the partitions of the topics that the script makes, the leader first. Default: the broker decides. */
  readonly replicas?: readonly number[]
}

type AnyApi<Response, RequestInput> = Api<unknown, Response, RequestInput, unknown>

export class Script {
  readonly lines: Line[] = []
  readonly #peer: Respondent
  readonly #other: Respondent
  readonly #replicas: readonly number[] | null
  readonly #names = new Map<string, string>()
  /** One clock for both brokers, so that both are sent the same bytes. */
  readonly nowMs: number

  constructor(peer: Respondent, other: Respondent, nowMs: number, options: ScriptOptions = {}) {
    this.#peer = peer
    this.#other = other
    this.nowMs = nowMs
    this.#replicas = options.replicas ?? null
  }

  /** The versions that both brokers serve, from `from` on. */
  versions(api: AnyApi<unknown, never>, from = 0, to = 99): number[] {
    const all = Array.from({ length: api.maxVersion + 1 }, (_, version) => version)
    return all.filter(
      version =>
        version >= Math.max(from, api.minVersion) &&
        version <= to &&
        this.#peer.serves(api, version) &&
        this.#other.serves(api, version),
    )
  }

  /** The lowest and the highest of them, and those between that change what is asked about. */
  ends(api: AnyApi<unknown, never>, ...between: number[]): number[] {
    const all = this.versions(api)
    return all.filter(version => version === all[0] || version === all.at(-1) || between.includes(version))
  }

  async ask<Response, RequestInput>(
    what: string,
    api: AnyApi<Response, RequestInput>,
    version: number,
    body: RequestInput,
  ): Promise<Response> {
    const answer = await this.#peer.ask(api, version, body)
    this.lines.push({ what: `${api.name} v${version}: ${what}`, answer: this.#plain(answer) })
    // What a script does with an answer it does to the parts that both have; a closed connection has none.
    return answer as Response
  }

  async tell<RequestInput>(
    what: string,
    api: AnyApi<unknown, RequestInput>,
    version: number,
    body: RequestInput,
  ): Promise<void> {
    const answer = await this.#peer.tell(api, version, body)
    this.lines.push({ what: `${api.name} v${version}: ${what}`, answer })
  }

  /** A request whose answer is no part of the transcript. */
  async quietly<Response, RequestInput>(
    api: AnyApi<Response, RequestInput>,
    version: number,
    body: RequestInput,
  ): Promise<Response> {
    const answer = await this.#peer.ask(api, version, body)
    if (answer === 'closed' || answer === 'silent') throw new Error(`${api.name} v${version} was ${answer}`)
    return answer
  }

  async createTopic(
    name: string,
    partitions = 1,
    configs: Readonly<Record<string, string>> = {},
  ): Promise<TopicId> {
    const brokerIds = this.#replicas
    const placed =
      brokerIds === null
        ? { numPartitions: partitions, replicationFactor: 1, assignments: [] }
        : {
            numPartitions: -1,
            replicationFactor: -1,
            assignments: Array.from({ length: partitions }, (_, partitionIndex) => ({
              partitionIndex,
              brokerIds,
            })),
          }
    const { topics } = await this.quietly(API.CreateTopics, 7, {
      topics: [
        {
          name,
          ...placed,
          configs: Object.entries(configs).map(([config, value]) => ({ name: config, value })),
        },
      ],
      timeoutMs: 10_000,
    })
    const [topic] = topics
    if (topic?.errorCode !== 0) throw new Error(`${name} was not created: ${topic?.errorMessage}`)
    this.#names.set(topic.topicId, `id of ${name}`)
    await this.#ready(topic.topicId, partitions)
    return topic.topicId
  }

  /** A topic that was answered for is led a moment later: it has to be asked about until it is. */
  async #ready(topicId: TopicId, partitions: number): Promise<void> {
    for (;;) {
      const topics = [
        {
          topicId,
          partitions: Array.from({ length: partitions }, (_, partition) => ({
            partition,
            fetchOffset: 0,
            partitionMaxBytes: 1,
          })),
        },
      ]
      const { responses } = await this.quietly(API.Fetch, 13, { maxWaitMs: 0, minBytes: 0, topics })
      const isReady = responses.every(topic => topic.partitions.every(({ errorCode }) => errorCode === 0))
      if (isReady) return
    }
  }

  /** One batch, acks=all, by name; not part of the transcript. */
  async fill(topic: string, partition: number, records: Uint8Array): Promise<void> {
    const { responses } = await this.quietly(API.Produce, 9, {
      acks: -1,
      timeoutMs: 10_000,
      topicData: [{ name: topic, partitionData: [{ index: partition, records }] }],
    })
    const errorCode = responses[0]?.partitionResponses[0]?.errorCode
    if (errorCode !== 0) throw new Error(`${topic} took no batch: ${errorCode}`)
  }

  async freshProducerId(): Promise<ProducerId> {
    let producerId: ProducerId
    let errorCode: number
    // Kafka refuses the first one, while it fetches a block of them.
    do {
      const asked = { transactionalId: null, transactionTimeoutMs: 60_000 }
      ;({ producerId, errorCode } = await this.quietly(API.InitProducerId, 4, asked))
    } while (errorCode !== 0)
    this.#names.set(String(producerId), `producer ${this.#names.size}`)
    return producerId
  }

  batch(values: readonly string[], options: BatchOptions & { timestamp?: number } = {}): Buffer {
    const { timestamp = this.nowMs, ...rest } = options
    return encodeBatch(
      values.map(value => ({ key: 'key', value, timestamp })),
      rest,
    )
  }

  sequenced(producerId: ProducerId, epoch: number, baseSequence: number, count = 1): Buffer {
    const values = Array.from({ length: count }, (_, index) => `${baseSequence + index}`)
    return this.batch(values, { producerId, producerEpoch: epoch as ProducerEpoch, baseSequence })
  }

  // ------------------------------------------------------------------------------- what is compared

  #plain(value: unknown, key = ''): unknown {
    if (Array.isArray(value)) {
      const compared = key === 'configs' ? value.filter(item => SHARED_CONFIGS.includes(item.name)) : value
      const items = compared.map(item => this.#plain(item, key))
      // No order is promised, and Kafka's is that of its hash maps.
      const isOrdered = items.every(item => typeof item !== 'object' || item === null)
      return isOrdered ? items : items.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
    }
    if (value instanceof Uint8Array) return OPAQUE.has(key) ? value.toString() : readable(value)
    if (typeof value === 'bigint')
      return value < 0n ? Number(value) : (this.#names.get(String(value)) ?? 'id')
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(
        Object.entries(value)
          .filter(([name]) => !MUST_DIFFER.has(name))
          .map(([name, item]) => [name, this.#plain(item, name)]),
      )
    }
    if (typeof value === 'string') return this.#plainText(value, key)
    if (typeof value === 'number' && TIMES.has(key) && value > 1) {
      return Math.abs(value - this.nowMs) < 600_000 ? 'now' : value
    }
    if (key === 'sessionId') return value === 0 ? 0 : 'session'
    return value
  }

  #plainText(text: string, key: string): string | null {
    if (key === 'errorMessage') return text === '' ? null : 'a message'
    if (key === 'memberId' || key === 'leader') return text.replace(FRESH_ID, 'fresh')
    if (/^[0-9a-f]{32}$/.test(text)) return /^0+$/.test(text) ? 'no id' : (this.#names.get(text) ?? 'an id')
    return text
  }
}

/** Topic configs of Kafka that this broker serves too, with the same defaults. */
export const SHARED_CONFIGS: readonly string[] = [
  'cleanup.policy',
  'compression.type',
  'file.delete.delay.ms',
  'flush.messages',
  'flush.ms',
  'index.interval.bytes',
  'log.retention.ms',
  'max.message.bytes',
  'message.max.bytes',
  'message.timestamp.after.max.ms',
  'message.timestamp.before.max.ms',
  'message.timestamp.type',
  'preallocate',
  'retention.bytes',
  'retention.ms',
  'segment.bytes',
  'segment.index.bytes',
  'segment.jitter.ms',
  'segment.ms',
  'unclean.leader.election.enable',
]

const MUST_DIFFER = new Set(['throttleTimeMs', 'host', 'port', 'clusterId'])
/** What members of groups tell each other. */
const OPAQUE = new Set(['metadata', 'assignment', 'memberMetadata', 'memberAssignment'])
/** At the end of an id that the broker has made up: a UUID in either of its forms. */
const FRESH_ID = /(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|^[\w-]{22})$/
const TIMES = new Set(['timestamp', 'logAppendTimeMs', 'lastTimestamp'])

function readable(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return 'no records'
  const values: string[] = []
  forEachBatch(bytes, position => {
    for (const { offset, value } of decodeRecords(bytes, position)) values.push(`${offset}:${value}`)
  })
  return values.join(' ')
}
