/** ListOffsets, DeleteRecords, OffsetForLeaderEpoch, InitProducerId, DescribeProducers. */
import { API } from '../../../client/protocol/apis.ts'
import { type ProducerId } from '../../../client/protocol/types.ts'
import { type Scenario } from './script.ts'

const listOffsets: Scenario = {
  name: 'offsets: by time',
  async run(script) {
    const topic = 'offsets-by-time'
    await script.createTopic(topic, 3)
    for (const [offset, value] of ['a', 'b', 'c'].entries()) {
      await script.fill(
        topic,
        0,
        script.batch([value, value], { timestamp: script.nowMs - 3000 + offset * 1000 }),
      )
    }
    // Out of order, and the largest twice.
    for (const timestamp of [5000, 9000, 7000, 9000, 1000]) {
      await script.fill(topic, 1, script.batch(['x'], { timestamp, codec: 'gzip' }))
    }
    for (const version of script.versions(API.ListOffsets)) {
      const ask = (what: string, name: string, partitions: object[], rest: object = {}) =>
        script.ask(what, API.ListOffsets, version, {
          replicaId: -1,
          topics: [{ name, partitions }],
          ...rest,
        } as never)
      for (const timestamp of [-1, -2, -3, -4, -5, -6, -7, 0, 1, script.nowMs - 3000, script.nowMs + 5000]) {
        const what = timestamp > 1000 ? `time ${timestamp - script.nowMs} from now` : `timestamp ${timestamp}`
        await ask(what, topic, [
          { partitionIndex: 0, timestamp },
          { partitionIndex: 2, timestamp },
        ])
      }
      for (const timestamp of [-1, -3, 4000, 5000, 5001, 7000, 9000, 9001]) {
        await ask(`${timestamp}, out of order`, topic, [{ partitionIndex: 1, timestamp }])
      }
      await ask('an unknown topic', 'missing', [{ partitionIndex: 0, timestamp: -1 }])
      await ask('an unknown partition', topic, [{ partitionIndex: 7, timestamp: -1 }])
      await ask('a negative partition', topic, [{ partitionIndex: -1, timestamp: -1 }])
      await ask('a partition twice', topic, [
        { partitionIndex: 0, timestamp: -1 },
        { partitionIndex: 0, timestamp: -2 },
        { partitionIndex: 1, timestamp: -2 },
      ])
      await ask('no partitions', topic, [])
      await ask('as replica 1', topic, [{ partitionIndex: 0, timestamp: -1 }], { replicaId: 1 })
      await ask('as replica 7', topic, [{ partitionIndex: 0, timestamp: -1 }], { replicaId: 7 })
      await ask('as -2, who debugs', topic, [{ partitionIndex: 0, timestamp: -1 }], { replicaId: -2 })
      if (version >= 2)
        await ask('committed', topic, [{ partitionIndex: 0, timestamp: -1 }], { isolationLevel: 1 })
      if (version >= 2)
        await ask('isolation 3', topic, [{ partitionIndex: 0, timestamp: -1 }], { isolationLevel: 3 })
      for (const currentLeaderEpoch of version >= 4 ? [0, 1, -2] : []) {
        await ask(`epoch ${currentLeaderEpoch}`, topic, [
          { partitionIndex: 0, timestamp: -1, currentLeaderEpoch },
        ])
      }
      await script.ask('no topics', API.ListOffsets, version, { replicaId: -1, topics: [] })
      await script.ask('a topic twice', API.ListOffsets, version, {
        replicaId: -1,
        topics: [
          { name: topic, partitions: [{ partitionIndex: 0, timestamp: -1 }] },
          { name: topic, partitions: [{ partitionIndex: 0, timestamp: -2 }] },
        ],
      })
    }
  },
}

const deleteRecords: Scenario = {
  name: 'offsets: deleted records',
  async run(script) {
    const topic = 'offsets-deleted'
    const id = await script.createTopic(topic, 2)
    await script.fill(topic, 0, script.batch(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']))
    for (const version of script.versions(API.DeleteRecords)) {
      const ask = (what: string, partitionIndex: number, offset: number, name = topic) =>
        script.ask(what, API.DeleteRecords, version, {
          topics: [{ name, partitions: [{ partitionIndex, offset }] }],
          timeoutMs: 5000,
        })
      await ask('a part', 0, version + 1)
      await ask('less than was', 0, 0)
      await ask('beyond the end', 0, 100)
      await ask('an offset of -2', 0, -2)
      await ask('an empty partition', 1, 0)
      await ask('all of an empty partition', 1, -1)
      await ask('an unknown partition', 5, 0)
      await ask('an unknown topic', 0, 0, 'missing')
      await script.ask('a partition twice', API.DeleteRecords, version, {
        topics: [
          {
            name: topic,
            partitions: [
              { partitionIndex: 0, offset: 3 },
              { partitionIndex: 0, offset: 4 },
            ],
          },
        ],
        timeoutMs: 5000,
      })
      await script.ask('nothing', API.DeleteRecords, version, { topics: [], timeoutMs: 5000 })
    }
    for (const fetchOffset of [0, 3, 4, 7]) {
      await script.ask(`a fetch from ${fetchOffset}`, API.Fetch, 13, {
        maxWaitMs: 0,
        minBytes: 0,
        topics: [{ topicId: id, partitions: [{ partition: 0, fetchOffset, partitionMaxBytes: 1 << 20 }] }],
      })
    }
    for (const timestamp of [-1, -2, -3, -4, 0]) {
      await script.ask(`where ${timestamp} is`, API.ListOffsets, 8, {
        replicaId: -1,
        topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }],
      })
    }
    await script.ask('all', API.DeleteRecords, 2, {
      topics: [{ name: topic, partitions: [{ partitionIndex: 0, offset: -1 }] }],
      timeoutMs: 5000,
    })
    for (const timestamp of [-1, -2, -3, 0]) {
      await script.ask(`of nothing, ${timestamp}`, API.ListOffsets, 8, {
        replicaId: -1,
        topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }],
      })
    }
  },
}

const epochs: Scenario = {
  name: 'offsets: leader epochs',
  async run(script) {
    const topic = 'offsets-epochs'
    await script.createTopic(topic, 2)
    await script.fill(topic, 0, script.batch(['a', 'b', 'c']))
    for (const version of script.versions(API.OffsetForLeaderEpoch)) {
      for (const partition of [0, 1, 8]) {
        for (const leaderEpoch of [-1, -2, 0, 1, 100]) {
          await script.ask(
            `partition ${partition}, epoch ${leaderEpoch}`,
            API.OffsetForLeaderEpoch,
            version,
            {
              topics: [{ topic, partitions: [{ partition, leaderEpoch }] }],
            },
          )
        }
      }
      for (const currentLeaderEpoch of [0, 1, -2]) {
        await script.ask(`led in ${currentLeaderEpoch}`, API.OffsetForLeaderEpoch, version, {
          topics: [{ topic, partitions: [{ partition: 0, leaderEpoch: 0, currentLeaderEpoch }] }],
        })
      }
      await script.ask('an unknown topic', API.OffsetForLeaderEpoch, version, {
        topics: [{ topic: 'missing', partitions: [{ partition: 0, leaderEpoch: 0 }] }],
      })
      await script.ask('no topics', API.OffsetForLeaderEpoch, version, { topics: [] })
    }
  },
}

const producerIds: Scenario = {
  name: 'offsets: producer ids',
  async run(script) {
    const transactionTimeoutMs = 60_000
    for (const version of script.versions(API.InitProducerId)) {
      const ask = (what: string, body: object) =>
        script.ask(what, API.InitProducerId, version, {
          transactionalId: null,
          transactionTimeoutMs,
          ...body,
        } as never)
      const { producerId } = await ask('a new one', {})
      await ask('a timeout of 0', { transactionTimeoutMs: 0 })
      await ask('a timeout of -1', { transactionTimeoutMs: -1 })
      if (version < 3) continue
      await ask('once more', { producerId, producerEpoch: 0 })
      await ask('an id and no epoch', { producerId })
      await ask('an epoch and no id', { producerEpoch: 3 })
      await ask('an id that nobody got', { producerId: 9_999_999n as ProducerId, producerEpoch: 3 })
      await ask('a negative id', { producerId: -5n as ProducerId, producerEpoch: 3 })
      await ask('a negative epoch', { producerId, producerEpoch: -5 })
    }
    for (const version of script.ends(API.InitProducerId)) {
      await script.ask('an empty transactional id', API.InitProducerId, version, {
        transactionalId: '',
        transactionTimeoutMs,
      })
    }
  },
}

const producers: Scenario = {
  name: 'offsets: producers described',
  async run(script) {
    const topic = 'offsets-producers'
    const id = await script.createTopic(topic, 2)
    const producer = await script.freshProducerId()
    await script.fill(topic, 0, script.sequenced(producer, 0, 0, 3))
    await script.fill(topic, 0, script.sequenced(producer, 2, 0, 2))
    for (const version of script.versions(API.DescribeProducers)) {
      const ask = (what: string, name: string, partitionIndexes: number[]) =>
        script.ask(what, API.DescribeProducers, version, { topics: [{ name, partitionIndexes }] })
      await ask('one, none and unknown', topic, [0, 1, 2, -1])
      await ask('an unknown topic', 'missing', [0])
      await ask('an invalid topic', 'no/name', [0])
      await ask('nothing', topic, [])
      await ask('a partition twice', topic, [0, 0])
      await script.ask('no topics', API.DescribeProducers, version, { topics: [] })
    }
    return void id
  },
}

export const offsetScenarios = [listOffsets, deleteRecords, epochs, producerIds, producers]
