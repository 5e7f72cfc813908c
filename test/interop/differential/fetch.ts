/** Fetch: offsets, epochs, limits, sessions, and everything that a client can get wrong about them. */
import { API } from '../../../client/protocol/apis.ts'
import { type TopicId, ZERO_TOPIC_ID } from '../../../client/protocol/types.ts'
import { type Scenario, type Script } from './script.ts'

const UNKNOWN_ID = 'ffffffffffff4fffbfffffffffffffff' as TopicId
const ROOM = 1 << 20

interface Position {
  readonly partition: number
  readonly fetchOffset?: number
  readonly currentLeaderEpoch?: number
  readonly lastFetchedEpoch?: number
  readonly partitionMaxBytes?: number
  readonly logStartOffset?: number
}

function from(topic: string, topicId: TopicId, positions: readonly Position[], rest: object = {}) {
  return {
    maxWaitMs: 0,
    minBytes: 0,
    maxBytes: ROOM,
    topics: [
      {
        topic,
        topicId,
        partitions: positions.map(position => ({ fetchOffset: 0, partitionMaxBytes: ROOM, ...position })),
      },
    ],
    ...rest,
  }
}

async function prepared(script: Script, topic: string): Promise<TopicId> {
  const id = await script.createTopic(topic, 3)
  await script.fill(topic, 0, script.batch(['a', 'b', 'c']))
  await script.fill(topic, 0, script.batch(['d', 'e']))
  await script.fill(topic, 1, script.batch(['f']))
  return id
}

const positions: Scenario = {
  name: 'fetch: positions',
  async run(script) {
    const topic = 'fetch-positions'
    const id = await prepared(script, topic)
    for (const version of script.versions(API.Fetch)) {
      const ask = (what: string, body: object) => script.ask(what, API.Fetch, version, body as never)
      for (const fetchOffset of [0, 1, 3, 4, 5, 6, -1, -2, 1_000_000]) {
        await ask(`from ${fetchOffset}`, from(topic, id, [{ partition: 0, fetchOffset }]))
      }
      await ask('two partitions', from(topic, id, [{ partition: 0 }, { partition: 1 }, { partition: 2 }]))
      await ask('an unknown partition', from(topic, id, [{ partition: 9 }, { partition: 1 }]))
      await ask('a negative partition', from(topic, id, [{ partition: -1 }]))
      await ask('an unknown topic', from('missing', UNKNOWN_ID, [{ partition: 0 }]))
      await ask('no topic id', from('missing', ZERO_TOPIC_ID, [{ partition: 0 }]))
      await ask('no topics', { maxWaitMs: 0, minBytes: 0, topics: [] })
      await ask('no partitions', from(topic, id, []))
      await ask('a partition twice', from(topic, id, [{ partition: 0 }, { partition: 0, fetchOffset: 4 }]))
      await ask('read committed', from(topic, id, [{ partition: 0 }], { isolationLevel: 1 }))
      await ask('an isolation level of 2', from(topic, id, [{ partition: 0 }], { isolationLevel: 2 }))
      await ask('no bytes of the partition', from(topic, id, [{ partition: 0, partitionMaxBytes: 0 }]))
      await ask('no bytes at all', from(topic, id, [{ partition: 0 }, { partition: 1 }], { maxBytes: 0 }))
      await ask(
        'negative bytes',
        from(topic, id, [{ partition: 0, partitionMaxBytes: -1 }], { maxBytes: -1 }),
      )
      await ask(
        'room for one batch',
        from(topic, id, [{ partition: 0 }, { partition: 1 }], { maxBytes: 100 }),
      )
      await ask(
        'a wait for more than there is',
        from(topic, id, [{ partition: 0 }], { minBytes: ROOM, maxWaitMs: 20 }),
      )
      await ask('a negative wait', from(topic, id, [{ partition: 0 }], { minBytes: ROOM, maxWaitMs: -1 }))
      await ask(
        'a wait at the end',
        from(topic, id, [{ partition: 0, fetchOffset: 5 }], { minBytes: 1, maxWaitMs: 20 }),
      )
      if (version >= 9) {
        for (const currentLeaderEpoch of [0, 1, 1000, -2]) {
          await ask(
            `leader epoch ${currentLeaderEpoch}`,
            from(topic, id, [{ partition: 0, currentLeaderEpoch }]),
          )
        }
      }
      if (version >= 12) {
        for (const lastFetchedEpoch of [0, 1, -2]) {
          for (const fetchOffset of [0, 5, 6]) {
            await ask(
              `last fetched epoch ${lastFetchedEpoch} at ${fetchOffset}`,
              from(topic, id, [{ partition: 0, lastFetchedEpoch, fetchOffset, currentLeaderEpoch: 0 }]),
            )
          }
        }
      }
    }
  },
}

const replicas: Scenario = {
  name: 'fetch: who calls itself a replica',
  async run(script) {
    const topic = 'fetch-replicas'
    const id = await prepared(script, topic)
    for (const version of script.ends(API.Fetch, 12, 13, 14)) {
      for (const replicaId of [0, 1, 2, -2]) {
        const rest = version <= 14 ? { replicaId } : { replicaState: { replicaId, replicaEpoch: -1 } }
        await script.ask(
          `replica ${replicaId}`,
          API.Fetch,
          version,
          from(topic, id, [{ partition: 0 }], rest),
        )
      }
    }
  },
}

const sessions: Scenario = {
  name: 'fetch: sessions',
  async run(script) {
    const topic = 'fetch-sessions'
    const id = await prepared(script, topic)
    for (const version of script.versions(API.Fetch, 7)) {
      const ask = (what: string, body: object) => script.ask(what, API.Fetch, version, body as never)
      const all = [{ partition: 0 }, { partition: 1 }, { partition: 2 }]
      const opened = await ask('a session is asked for', from(topic, id, all, { sessionEpoch: 0 }))
      const { sessionId } = opened
      const within = (sessionEpoch: number, rest: object = {}) => ({
        maxWaitMs: 0,
        minBytes: 0,
        topics: [],
        sessionId,
        sessionEpoch,
        ...rest,
      })
      await ask('what is new', within(1))
      await ask('an epoch skipped', within(5))
      await ask('the same epoch again', within(1))
      await ask('a partition moves on', {
        ...from(topic, id, [{ partition: 0, fetchOffset: 5 }], { sessionId, sessionEpoch: 2 }),
      })
      await ask('only what changed', within(3))
      await ask('a partition is forgotten', {
        ...within(4),
        forgottenTopicsData: [{ topic, topicId: id, partitions: [1] }],
      })
      await ask('an unknown partition is forgotten', {
        ...within(5),
        forgottenTopicsData: [{ topic: 'missing', topicId: UNKNOWN_ID, partitions: [1] }],
      })
      await ask(
        'an unknown topic joins',
        from('missing', UNKNOWN_ID, [{ partition: 0 }], { sessionId, sessionEpoch: 6 }),
      )
      await ask('and is told of again', within(7))
      await ask('an offset out of range', {
        ...from(topic, id, [{ partition: 0, fetchOffset: 99 }], { sessionId, sessionEpoch: 8 }),
      })
      await ask('and again', within(9))
      await ask(
        'and in range',
        from(topic, id, [{ partition: 0, fetchOffset: 4 }], { sessionId, sessionEpoch: 10 }),
      )
      await ask('a session that nobody has', { ...within(1), sessionId: sessionId === 123 ? 124 : 123 })
      await ask('epoch 0 within a session begins another', {
        ...from(topic, id, all, { sessionId, sessionEpoch: 0 }),
      })
      await ask('the old one is gone', within(11))
      const again = await ask('another', from(topic, id, all, { sessionEpoch: 0 }))
      await ask('the last of it', { ...within(-1), sessionId: again.sessionId })
      await ask('nothing after it', { ...within(1), sessionId: again.sessionId })
      await ask('no session, epoch 1', { ...within(1), sessionId: 0 })
      await ask('the last of none', from(topic, id, all, { sessionEpoch: -1 }))
      await ask('the last of one that nobody has', from(topic, id, all, { sessionEpoch: -1, sessionId: 77 }))
      await ask('an epoch of -2', within(-2))
    }
  },
}

const mixed: Scenario = {
  name: 'fetch: sessions by name and by id',
  async run(script) {
    const topic = 'fetch-mixed'
    const id = await prepared(script, topic)
    const byName = await script.ask(
      'by name',
      API.Fetch,
      12,
      from(topic, id, [{ partition: 0 }], { sessionEpoch: 0 }),
    )
    await script.ask('then by id', API.Fetch, 13, {
      ...from(topic, id, [{ partition: 1 }], { sessionEpoch: 1, sessionId: byName.sessionId }),
    })
    await script.ask('then by name', API.Fetch, 12, {
      ...from(topic, id, [{ partition: 1 }], { sessionEpoch: 1, sessionId: byName.sessionId }),
    })
    const byId = await script.ask(
      'by id',
      API.Fetch,
      13,
      from(topic, id, [{ partition: 0 }], { sessionEpoch: 0 }),
    )
    await script.ask('then by name', API.Fetch, 12, {
      ...from(topic, id, [{ partition: 1 }], { sessionEpoch: 1, sessionId: byId.sessionId }),
    })
    await script.ask('the topic is deleted', API.DeleteTopics, 5, { topicNames: [topic], timeoutMs: 5000 })
    for (;;) {
      const { topics } = await script.quietly(API.Metadata, 9, {
        topics: [{ name: topic }],
        allowAutoTopicCreation: false,
      })
      if (topics[0]?.errorCode !== 0) break
    }
    const renewed = await script.createTopic(topic, 1)
    await script.fill(topic, 0, script.batch(['new']))
    await script.ask(
      'an old id never reads the new topic',
      API.Fetch,
      13,
      from(topic, id, [{ partition: 0 }]),
    )
    await script.ask('the new id does', API.Fetch, 13, from(topic, renewed, [{ partition: 0 }]))
  },
}

export const fetchScenarios = [positions, replicas, sessions, mixed]
