/**
 * A random conversation with brokers: topics come and go, batches are produced and read, groups live, and much of what
 * is asked is wrong. What is asked follows from the seed alone, and from answers that must be the same everywhere, so
 * two conversations of the same seed can be compared line by line.
 */
import { API } from '../../../client/protocol/apis.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { type ProducerId, type TopicId, ZERO_TOPIC_ID } from '../../../client/protocol/types.ts'
import { type Chance } from '../../fuzz/chance.ts'
import { type Script } from '../../interop/differential/script.ts'
import { GroupTalk } from './group-talk.ts'
import { Talk } from './talk.ts'

const TIMEOUT_MS = 20_000
const ROOM = 1 << 20
const MISSING = 'missing'
const MISSING_ID = 'ffffffffffff4fffbfffffffffffffff' as TopicId
const TOPIC = 2

interface Topic {
  readonly name: string
  readonly id: TopicId
  partitions: number
}

interface Sequences {
  readonly producer: ProducerId
  /** By topic id and partition. */
  readonly next: Map<string, number>
}

export interface TalkOptions {
  /** Who has the partitions of new topics, the leader first. */
  readonly replicas: readonly number[]
  /** What happens between two requests, now and then; nothing of it may be seen in an answer. */
  readonly disturb?: (chance: Chance) => Promise<void>
}

export class RandomTalk extends Talk {
  /** Drawn from where only one of two conversations is disturbed. */
  readonly #misfortune: Chance
  readonly #options: TalkOptions
  readonly #topics: Topic[] = []
  readonly #producers: Sequences[] = []
  readonly #groups: GroupTalk
  #serial = 0

  constructor(script: Script, chance: Chance, options: TalkOptions) {
    super(script, chance)
    this.#misfortune = chance.fork()
    this.#options = options
    this.#groups = new GroupTalk(script, chance)
  }

  async run(requests: number): Promise<void> {
    await this.#groups.ready()
    await this.#create()
    const kinds: readonly [number, () => Promise<unknown>][] = [
      [3, () => this.#create()],
      [1, () => this.#delete()],
      [1, () => this.#grow()],
      [14, () => this.#produce()],
      [6, () => this.#produceInSequence()],
      [12, () => this.#fetch()],
      [5, () => this.#listOffsets()],
      [2, () => this.#deleteRecords()],
      [3, () => this.#epochs()],
      [2, () => this.#producersDescribed()],
      [3, () => this.#metadata()],
      [3, () => this.#configs()],
      [3, () => this.#alter()],
      [2, () => this.#elect()],
      [2, () => this.#reassignments()],
      [2, () => this.#cluster()],
      [14, () => this.#groups.next(this.#someTopic())],
    ]
    const urn = kinds.flatMap(([weight, kind]) => Array.from({ length: weight }, () => kind))
    while (this.script.lines.length < requests) {
      await this.chance.pick(urn)()
      if (this.chance.once(40)) await this.#options.disturb?.(this.#misfortune)
    }
  }

  // -------------------------------------------------------------------------------------------- topics

  async #create(): Promise<void> {
    const chance = this.chance
    if (this.#topics.length > 0 && chance.once(3)) {
      const validateOnly = chance.once(2)
      const name = chance.pick(['', 'no/name', this.#topics[0]!.name, `checked-${this.#serial}`])
      const configs = chance.once(2) ? [{ name: 'retention.ms', value: chance.pick(['x', '-5', '']) }] : []
      const numPartitions = chance.pick([0, -2, 3])
      const topic = { name, numPartitions, replicationFactor: 1, assignments: [], configs }
      await this.ask('refused', API.CreateTopics, { topics: [topic], timeoutMs: TIMEOUT_MS, validateOnly }, 2)
      return
    }
    const partitions = chance.between(1, 3)
    const configs = chance.once(3) ? { 'retention.ms': '86400000' } : {}
    const name = `talk-${this.#serial++}`
    const id = await this.script.createTopic(name, partitions, configs)
    this.#topics.push({ name, id, partitions })
  }

  async #delete(): Promise<void> {
    if (this.#topics.length < 2) return
    const index = this.chance.int(this.#topics.length)
    const [topic] = this.#topics.splice(index, 1)
    const { name, id } = topic!
    if (this.chance.once(2)) {
      await this.script.ask('by id', API.DeleteTopics, 6, {
        topics: [{ name: null, topicId: id }],
        timeoutMs: TIMEOUT_MS,
      })
    } else {
      const body = { topicNames: [name, MISSING], timeoutMs: TIMEOUT_MS }
      await this.ask('by name', API.DeleteTopics, body, 1, 5)
    }
    await this.ask(
      'a deleted topic',
      API.Metadata,
      { topics: [{ name }], allowAutoTopicCreation: false },
      4,
      9,
    )
  }

  async #grow(): Promise<void> {
    const topic = this.#someTopic()
    const count = topic.partitions + this.chance.between(-1, 2)
    const isGood = count > topic.partitions
    const brokerIds = this.#options.replicas
    const assignments = isGood
      ? Array.from({ length: count - topic.partitions }, () => ({ brokerIds: [...brokerIds] }))
      : null
    const topics = [{ name: topic.name, count, assignments }]
    await this.ask(`to ${count}`, API.CreatePartitions, {
      topics,
      timeoutMs: TIMEOUT_MS,
      validateOnly: false,
    })
    if (isGood) topic.partitions = count
  }

  #someTopic(): Topic {
    return this.chance.pick(this.#topics)
  }

  /** Now and then one that is not there. */
  #anyPartition(topic: Topic): number {
    return this.chance.once(12) ? this.chance.pick([99, -1]) : this.chance.int(topic.partitions)
  }

  #anyTopic(): { name: string; id: TopicId; topic: Topic } {
    const topic = this.#someTopic()
    return this.chance.once(15) ? { name: MISSING, id: MISSING_ID, topic } : { ...topic, topic }
  }

  // ------------------------------------------------------------------------------------------- records

  async #produce(): Promise<void> {
    const chance = this.chance
    const { name, id, topic } = this.#anyTopic()
    const values = Array.from({ length: chance.between(1, 4) }, () => `${chance.int(1000)}`)
    const codec = chance.pick(['none', 'none', 'gzip', 'snappy', 'lz4'] as const)
    const records = this.script.batch(values, { codec })
    if (chance.once(15)) records[chance.between(17, records.length - 1)]! ^= 0x55
    const acks = chance.pick([-1, -1, -1, -1, 1, 2])
    const partitionData = [{ index: this.#anyPartition(topic), records }]
    const body = { acks, timeoutMs: TIMEOUT_MS, topicData: [{ name, topicId: id, partitionData }] }
    await this.ask(`${values.length} records, acks ${acks}`, API.Produce, body, 3)
  }

  async #produceInSequence(): Promise<void> {
    const chance = this.chance
    if (this.#producers.length === 0 || chance.once(8)) {
      this.#producers.push({ producer: await this.script.freshProducerId(), next: new Map() })
    }
    const { producer, next } = chance.pick(this.#producers)
    const topic = this.#someTopic()
    const index = chance.int(topic.partitions)
    const key = `${topic.id} ${index}`
    const expected = next.get(key) ?? 0
    const shift = chance.pick([0, 0, 0, 0, -1, -2, 1])
    const sequence = Math.max(0, expected + shift)
    const partitionData = [{ index, records: this.script.sequenced(producer, 0, sequence) }]
    const answer = await this.ask(
      `sequence ${sequence} for ${expected}`,
      API.Produce,
      {
        acks: -1,
        timeoutMs: TIMEOUT_MS,
        topicData: [{ name: topic.name, topicId: topic.id, partitionData }],
      },
      3,
    )
    const errorCode = answer.responses[0]?.partitionResponses[0]?.errorCode
    if (errorCode === ErrorCode.NONE && sequence >= expected) next.set(key, sequence + 1)
  }

  async #fetch(): Promise<void> {
    const chance = this.chance
    const { name, id, topic } = this.#anyTopic()
    const partitions = Array.from({ length: chance.between(1, 2) }, () => ({
      partition: this.#anyPartition(topic),
      fetchOffset: chance.pick([0, 0, 1, 3, chance.int(40), -1, 100_000]),
      partitionMaxBytes: chance.pick([ROOM, ROOM, 100, 0]),
    }))
    // Asked twice, a partition is answered for once: which of the two is meant is not the matter here.
    const asked = partitions.filter(
      ({ partition }, at) => at === partitions.findIndex(p => p.partition === partition),
    )
    await this.ask(`from ${asked.map(({ fetchOffset }) => fetchOffset)}`, API.Fetch, {
      maxWaitMs: chance.pick([0, 0, 5]),
      minBytes: chance.pick([0, 1]),
      maxBytes: ROOM,
      isolationLevel: chance.int(2),
      topics: [{ topic: name, topicId: id, partitions: asked }],
    })
  }

  async #listOffsets(): Promise<void> {
    const { name, topic } = this.#anyTopic()
    const timestamp = this.chance.pick([-1, -1, -2, -2, -3, 0, this.script.nowMs, this.script.nowMs + 5000])
    const partitions = [{ partitionIndex: this.#anyPartition(topic), timestamp }]
    const what = timestamp > 0 ? `${timestamp - this.script.nowMs} from now` : `${timestamp}`
    await this.ask(what, API.ListOffsets, { replicaId: -1, topics: [{ name, partitions }] })
  }

  async #deleteRecords(): Promise<void> {
    const { name, topic } = this.#anyTopic()
    const offset = this.chance.pick([-1, 0, 1, 2, this.chance.int(20), -2])
    const partitions = [{ partitionIndex: this.#anyPartition(topic), offset }]
    await this.ask(`before ${offset}`, API.DeleteRecords, {
      topics: [{ name, partitions }],
      timeoutMs: TIMEOUT_MS,
    })
  }

  async #epochs(): Promise<void> {
    const { name, topic } = this.#anyTopic()
    const leaderEpoch = this.chance.pick([-1, 1000])
    const partitions = [{ partition: this.#anyPartition(topic), leaderEpoch }]
    await this.ask(`of ${leaderEpoch}`, API.OffsetForLeaderEpoch, { topics: [{ topic: name, partitions }] })
  }

  async #producersDescribed(): Promise<void> {
    const { name, topic } = this.#anyTopic()
    const topics = [{ name, partitionIndexes: [this.#anyPartition(topic)] }]
    await this.ask('of a partition', API.DescribeProducers, { topics })
  }

  // ------------------------------------------------------------------------------------ administration

  async #metadata(): Promise<void> {
    const { name } = this.#anyTopic()
    if (this.chance.once(3)) {
      await this.ask('described', API.DescribeTopicPartitions, { topics: [{ name }] })
      return
    }
    const topics = this.chance.once(4) ? null : [{ name, topicId: ZERO_TOPIC_ID }]
    await this.ask(topics === null ? 'all' : name, API.Metadata, { topics, allowAutoTopicCreation: false }, 4)
  }

  async #configs(): Promise<void> {
    const { name } = this.#anyTopic()
    const configurationKeys = this.chance.pick([
      ['retention.ms'],
      ['cleanup.policy', 'retention.ms'],
      ['nothing'],
    ])
    const resources = [{ resourceType: TOPIC, resourceName: name, configurationKeys }]
    await this.ask(name, API.DescribeConfigs, { resources, includeSynonyms: this.chance.once(2) }, 1)
  }

  async #alter(): Promise<void> {
    const chance = this.chance
    const { name } = this.#anyTopic()
    const value = chance.pick(['86400000', '172800000', 'soon', '-7'])
    const config = { name: chance.pick(['retention.ms', 'retention.ms', 'no.such.config']), value }
    const validateOnly = chance.once(4)
    const configs = [{ ...config, configOperation: chance.int(5) }]
    const resources = [{ resourceType: TOPIC, resourceName: name, configs }]
    if (chance.once(3)) await this.ask('replaced', API.AlterConfigs, { resources, validateOnly })
    else await this.ask('changed', API.IncrementalAlterConfigs, { resources, validateOnly })
  }

  async #elect(): Promise<void> {
    const { name, topic } = this.#anyTopic()
    const topicPartitions = [{ topic: name, partitions: [this.#anyPartition(topic)] }]
    const electionType = this.chance.int(2)
    await this.ask('of one partition', API.ElectLeaders, { electionType, topicPartitions }, 1)
  }

  async #reassignments(): Promise<void> {
    const { name, topic } = this.#anyTopic()
    const partition = this.#anyPartition(topic)
    if (this.chance.once(2)) {
      const topics = [{ name, partitionIndexes: [partition] }]
      await this.ask('under way', API.ListPartitionReassignments, { topics })
      return
    }
    const replicas = this.chance.pick([
      null,
      [],
      [9],
      [this.#options.replicas[0]!, this.#options.replicas[0]!],
    ])
    const topics = [{ name, partitions: [{ partitionIndex: partition, replicas }] }]
    await this.ask(
      `to ${replicas?.length ?? 'where it was'}`,
      API.AlterPartitionReassignments,
      { topics },
      0,
      0,
    )
  }

  async #cluster(): Promise<void> {
    if (this.chance.once(2))
      await this.ask('the cluster', API.DescribeCluster, { includeClusterAuthorizedOperations: false })
    else
      await this.ask('a new one', API.InitProducerId, {
        transactionalId: null,
        transactionTimeoutMs: 60_000,
      })
  }
}
