/** Topics: made, found, grown and deleted, with every mistake in between. */
import { API } from '../../../client/protocol/apis.ts'
import { type TopicId, ZERO_TOPIC_ID } from '../../../client/protocol/types.ts'
import { type Scenario } from './script.ts'

const UNKNOWN_ID = 'ffffffffffff4fffbfffffffffffffff' as TopicId
const timeoutMs = 5000
const BAD_NAMES = ['', '.', '..', 'no/name', 'no name', 'x'.repeat(250), 'ä', 'a\u0000b']
const ODD_NAMES = ['x'.repeat(249), '-', '_', '...', '1', 'CamelCase']

interface Topic {
  readonly name?: string
  readonly numPartitions?: number
  readonly replicationFactor?: number
  readonly assignments?: readonly { partitionIndex: number; brokerIds: number[] }[]
  readonly configs?: readonly { name: string; value: string | null }[]
}

const created: Scenario = {
  name: 'topics: created',
  async run(script) {
    let serial = 0
    for (const version of script.versions(API.CreateTopics)) {
      const ask = (what: string, topics: readonly Topic[], validateOnly = false) =>
        script.ask(what, API.CreateTopics, version, {
          topics: topics.map(topic => ({
            name: `created-${serial++}`,
            numPartitions: 1,
            replicationFactor: 1,
            assignments: [],
            configs: [],
            ...topic,
          })),
          timeoutMs,
          validateOnly,
        })
      await script.quietly(API.CreateTopics, 7, {
        topics: [
          { name: `there-${version}`, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] },
        ],
      })
      for (const validateOnly of [true, false]) {
        for (const name of BAD_NAMES)
          await ask(`the name ${JSON.stringify(name.slice(0, 20))}`, [{ name }], validateOnly)
        await ask('one that is there', [{ name: `there-${version}` }], validateOnly)
        await ask('one that collides', [{ name: `there_${version}` }], validateOnly)
        await ask('a name twice', [{ name: 'twice' }, { name: 'twice' }, {}], validateOnly)
        for (const numPartitions of [0, -1, -2, 3])
          await ask(`${numPartitions} partitions`, [{ numPartitions }], validateOnly)
        for (const replicationFactor of [0, -1, -2, 2]) {
          await ask(`${replicationFactor} replicas`, [{ replicationFactor }], validateOnly)
        }
        const assigned = (...assignments: [number, number[]][]) => ({
          numPartitions: -1,
          replicationFactor: -1,
          assignments: assignments.map(([partitionIndex, brokerIds]) => ({ partitionIndex, brokerIds })),
        })
        await ask('assigned', [assigned([0, [1]], [1, [1]])], validateOnly)
        await ask('assigned out of order', [assigned([1, [1]], [0, [1]])], validateOnly)
        await ask('assigned with a hole', [assigned([0, [1]], [2, [1]])], validateOnly)
        await ask('assigned from 1', [assigned([1, [1]])], validateOnly)
        await ask('assigned twice', [assigned([0, [1]], [0, [1]])], validateOnly)
        await ask('assigned to nobody', [assigned([0, []])], validateOnly)
        await ask('assigned to 1 twice', [assigned([0, [1, 1]])], validateOnly)
        await ask('assigned to 9', [assigned([0, [9]])], validateOnly)
        await ask('assigned to -1', [assigned([0, [-1]])], validateOnly)
        await ask('assigned unevenly', [assigned([0, [1]], [1, [1, 9]])], validateOnly)
        await ask('assigned and counted', [{ ...assigned([0, [1]]), numPartitions: 1 }], validateOnly)
        await ask('assigned and replicated', [{ ...assigned([0, [1]]), replicationFactor: 1 }], validateOnly)
        const configured = (name: string, value: string | null) => ({ configs: [{ name, value }] })
        await ask('a config', [configured('retention.ms', '1000')], validateOnly)
        await ask('an unknown config', [configured('retention.msec', '1000')], validateOnly)
        await ask('a config without a value', [configured('retention.ms', null)], validateOnly)
        await ask('an empty value', [configured('retention.ms', '')], validateOnly)
        await ask('no number', [configured('retention.ms', 'soon')], validateOnly)
        await ask('a value with spaces', [configured('retention.ms', ' 1000 ')], validateOnly)
        await ask('too small a value', [configured('retention.ms', '-2')], validateOnly)
        await ask('a fraction', [configured('retention.ms', '1.5')], validateOnly)
        await ask('too large an int', [configured('segment.bytes', '3000000000')], validateOnly)
        await ask('no policy', [configured('cleanup.policy', 'keep')], validateOnly)
        await ask('a boolean in capitals', [configured('preallocate', 'TRUE')], validateOnly)
        await ask('no boolean', [configured('preallocate', 'yes')], validateOnly)
        await ask(
          'a config twice',
          [
            {
              configs: [
                { name: 'retention.ms', value: '1' },
                { name: 'retention.ms', value: '2' },
              ],
            },
          ],
          validateOnly,
        )
        await ask('nothing', [], validateOnly)
      }
      for (const name of ODD_NAMES) await ask(`the name ${name.slice(0, 20)}`, [{ name }])
    }
  },
}

const found: Scenario = {
  name: 'topics: metadata',
  async run(script) {
    const id = await script.createTopic('found', 3)
    await script.createTopic('found-too')
    let serial = 0
    for (const version of script.versions(API.Metadata)) {
      const ask = (what: string, topics: object[] | null, rest: object = {}) =>
        script.ask(what, API.Metadata, version, { topics, ...rest } as never)
      const quiet = version >= 4 ? { allowAutoTopicCreation: false } : {}
      await ask('one', [{ name: 'found' }])
      await ask('one twice', [{ name: 'found' }, { name: 'found' }])
      await ask('two', [{ name: 'found' }, { name: 'found-too' }])
      if (version >= 1) await ask('none', [])
      if (version >= 4) await ask('missing', [{ name: 'missing' }, { name: 'found' }], quiet)
      for (const name of BAD_NAMES)
        await ask(`the name ${JSON.stringify(name.slice(0, 20))}`, [{ name }], quiet)
      for (const name of BAD_NAMES.slice(0, 4)) await ask(`made, ${JSON.stringify(name)}`, [{ name }])
      if (version >= 8) {
        await ask('what is allowed', [{ name: 'found' }], { includeTopicAuthorizedOperations: true })
        if (version <= 10) await ask('what is allowed', [], { includeClusterAuthorizedOperations: true })
      }
      if (version >= 10) {
        await ask('by id', [{ topicId: id, name: null }])
        await ask('by id and name', [{ topicId: id, name: 'found' }])
        await ask('by id and another name', [{ topicId: id, name: 'found-too' }])
        await ask('an unknown id', [{ topicId: UNKNOWN_ID, name: null }])
        await ask('an unknown id twice', [
          { topicId: UNKNOWN_ID, name: null },
          { topicId: UNKNOWN_ID, name: null },
        ])
        await ask('neither', [{ topicId: ZERO_TOPIC_ID, name: null }])
        await ask('by id and by name', [{ topicId: id, name: null }, { name: 'found-too' }])
      }
      // Kafka tells of a topic before it is there; we make it first. Either way it is there a moment later.
      await script.quietly(API.Metadata, version, { topics: [{ name: `auto-${serial}` }] })
      for (;;) {
        const { topics } = await script.quietly(API.Metadata, version, {
          topics: [{ name: `auto-${serial}` }],
        })
        if (topics[0]?.errorCode === 0) break
      }
      await ask('made by asking', [{ name: `auto-${serial++}` }])
    }
    await script.ask('all', API.Metadata, 12, { topics: null })
    await script.ask('all of version 0', API.Metadata, 0, { topics: [] })
  },
}

const described: Scenario = {
  name: 'topics: described by partition',
  async run(script) {
    await script.createTopic('described-a', 3)
    await script.createTopic('described-b', 2)
    const ask = (what: string, names: string[], rest: object = {}) =>
      script.ask(what, API.DescribeTopicPartitions, 0, {
        topics: names.map(name => ({ name })),
        ...rest,
      } as never)
    if (script.versions(API.DescribeTopicPartitions).length === 0) return
    await ask('one', ['described-a'])
    await ask('two', ['described-b', 'described-a'])
    await ask('missing', ['missing', 'described-a'])
    await ask('invalid', ['no/name'])
    await ask('empty', [''])
    await ask('twice', ['described-a', 'described-a'])
    for (const responsePartitionLimit of [0, -1, 1, 3, 4, 5, 100]) {
      await ask(`at most ${responsePartitionLimit}`, ['described-a', 'described-b'], {
        responsePartitionLimit,
      })
    }
    for (const [topicName, partitionIndex] of [
      ['described-a', 1],
      ['described-a', 3],
      ['described-a', -1],
      ['described-b', 1],
      ['described-aa', 0],
      ['described-c', 0],
    ] as const) {
      const cursor = { topicName, partitionIndex }
      await ask(`from ${topicName} ${partitionIndex}`, ['described-a', 'described-b'], { cursor })
      await ask(`all from ${topicName} ${partitionIndex}`, [], { cursor, responsePartitionLimit: 2 })
    }
    await ask('all', [])
  },
}

const grown: Scenario = {
  name: 'topics: grown',
  async run(script) {
    for (const version of script.versions(API.CreatePartitions)) {
      const name = `grown-${version}`
      await script.createTopic(name, 2)
      await script.createTopic(`${name}-too`, 2)
      const ask = (what: string, topics: object[], validateOnly = false) =>
        script.ask(what, API.CreatePartitions, version, {
          topics: topics.map(topic => ({ name, count: 3, assignments: null, ...topic })),
          timeoutMs,
          validateOnly,
        })
      const assigned = (...brokers: number[][]) => brokers.map(brokerIds => ({ brokerIds }))
      for (const validateOnly of [true, false]) {
        for (const count of [2, 1, 0, -1]) await ask(`to ${count}`, [{ count }], validateOnly)
        await ask('missing', [{ name: 'missing' }], validateOnly)
        await ask('an invalid name', [{ name: 'no/name' }], validateOnly)
        await ask('twice', [{ count: 3 }, { count: 4 }, { name: `${name}-too`, count: 3 }], validateOnly)
        await ask('assigned to too many', [{ assignments: assigned([1], [1]) }], validateOnly)
        await ask('assigned to none', [{ assignments: [] }], validateOnly)
        await ask('assigned to nobody', [{ assignments: assigned([]) }], validateOnly)
        await ask('assigned to 9', [{ assignments: assigned([9]) }], validateOnly)
        await ask('assigned to 1 twice', [{ assignments: assigned([1, 1]) }], validateOnly)
        await ask('assigned to two', [{ assignments: assigned([1, 9]) }], validateOnly)
        await ask('assigned to 1', [{ assignments: assigned([1]) }], true)
        await ask('nothing', [], validateOnly)
      }
      await ask('to 3', [{}])
      await ask('to 5, assigned', [{ count: 5, assignments: assigned([1], [1]) }])
    }
  },
}

const deleted: Scenario = {
  name: 'topics: deleted',
  async run(script) {
    for (const version of script.versions(API.DeleteTopics)) {
      const id = await script.createTopic(`deleted-${version}`)
      await script.createTopic(`deleted-${version}-too`)
      if (version <= 5) {
        const ask = (what: string, ...topicNames: string[]) =>
          script.ask(what, API.DeleteTopics, version, { topicNames, timeoutMs })
        await ask('nothing')
        await ask('missing', 'missing')
        await ask('invalid', 'no/name', '')
        await ask('twice', `deleted-${version}-too`, `deleted-${version}-too`)
        await ask('one and a missing one', `deleted-${version}`, 'missing')
        await ask('again', `deleted-${version}`)
        continue
      }
      const ask = (what: string, topics: { name?: string | null; topicId?: TopicId }[]) =>
        script.ask(what, API.DeleteTopics, version, {
          topics: topics.map(topic => ({ name: null, topicId: ZERO_TOPIC_ID, ...topic })),
          timeoutMs,
        })
      await ask('nothing', [])
      await ask('missing', [{ name: 'missing' }])
      await ask('an unknown id', [{ topicId: UNKNOWN_ID }])
      await ask('neither', [{}])
      await ask('both', [{ name: `deleted-${version}`, topicId: id }])
      await ask('the same by name and by id', [{ name: `deleted-${version}` }, { topicId: id }])
      await ask('a name twice', [{ name: `deleted-${version}-too` }, { name: `deleted-${version}-too` }])
      await ask('an id twice', [{ topicId: id }, { topicId: id }])
      await ask('an unknown id twice', [{ topicId: UNKNOWN_ID }, { topicId: UNKNOWN_ID }])
      await ask('by id', [{ topicId: id }])
      await ask('again', [{ topicId: id }])
      await ask('by name', [{ name: `deleted-${version}-too` }])
    }
  },
}

export const topicScenarios = [created, found, described, grown, deleted]
