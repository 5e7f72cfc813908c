/**
 * What is known of the cluster never goes back in time.
 */
import t from 'tap'
import { MetadataCache } from '../../client/metadata.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'

const ID = '00000000000000000000000000000001'
const OTHER_ID = '00000000000000000000000000000002'

function answer(leaderId: number, leaderEpoch: number, topicId = ID) {
  return {
    brokers: [1, 2].map(nodeId => ({ nodeId, host: 'h', port: nodeId, rack: null })),
    clusterId: 'c',
    controllerId: 1,
    topics: [
      {
        errorCode: 0,
        name: 'orders',
        topicId,
        isInternal: false,
        partitions: [
          {
            errorCode: 0,
            partitionIndex: 0,
            leaderId,
            leaderEpoch,
            replicaNodes: [1, 2],
            isrNodes: [1, 2],
            offlineReplicas: [],
          },
        ],
      },
    ],
  }
}

t.test('an answer with an older leader epoch is not believed', async t => {
  const cache = new MetadataCache()
  cache.update(answer(1, 5), 0)
  cache.update(answer(2, 6), 0)
  cache.update(answer(1, 5), 0)
  t.equal(cache.leaderOf('orders', 0), 2)
  cache.update(answer(-1, 7), 0)
  t.equal(cache.leaderOf('orders', 0), null)
})

t.test('an older leader epoch is believed when one answer after the other has it', async t => {
  const cache = new MetadataCache()
  cache.update(answer(-1, 1_000_000), 0)
  for (let i = 0; i < 4; i++) cache.update(answer(1, 5), 0)
  t.equal(cache.leaderOf('orders', 0), null, 'late answers may be several')
  cache.update(answer(-1, 1_000_000), 0)
  for (let i = 0; i < 4; i++) cache.update(answer(1, 5), 0)
  t.equal(cache.leaderOf('orders', 0), null, 'but not in a row')
  cache.update(answer(1, 5), 0)
  t.equal(cache.leaderOf('orders', 0), 1, 'else a single wrong answer would last for ever')
})

t.test('a topic that was made anew starts over with its epochs', async t => {
  const cache = new MetadataCache()
  cache.update(answer(1, 5), 0)
  cache.update(answer(2, 0, OTHER_ID), 0)
  t.equal(cache.leaderOf('orders', 0), 2)
  t.equal(cache.nameOf(ID), undefined)
  t.equal(cache.nameOf(OTHER_ID), 'orders')
})

t.test('brokers that tell no epochs are believed', async t => {
  const cache = new MetadataCache()
  cache.update(answer(1, -1), 0)
  cache.update(answer(2, -1), 0)
  t.equal(cache.leaderOf('orders', 0), 2)
})

t.test('a leader named in an error answer is taken when it is newer', async t => {
  const cache = new MetadataCache()
  cache.update(answer(1, 5), 0)
  t.notOk(cache.learnLeader('orders', 0, 2, 5))
  t.notOk(cache.learnLeader('orders', 0, 9, 6), 'a broker that is not known')
  t.ok(cache.learnLeader('orders', 0, 2, 6))
  t.equal(cache.leaderOf('orders', 0), 2)
})

t.test('a broker that knows no others yet does not make us forget them', async t => {
  const cache = new MetadataCache()
  cache.update(answer(1, 5), 0)
  cache.update({ ...answer(1, 5), brokers: [] }, 0)
  t.equal(cache.brokers.size, 2)
})

t.test('a topic that is gone is forgotten; one that fails for now is not', async t => {
  const cache = new MetadataCache()
  cache.update(answer(1, 5), 0)
  const failing = (errorCode: number) => ({
    ...answer(1, 5),
    topics: answer(1, 5).topics.map(topic => ({ ...topic, errorCode, partitions: [] })),
  })
  t.same([...cache.update(failing(ErrorCode.LEADER_NOT_AVAILABLE), 0)], [['orders', 5]])
  t.ok(cache.topic('orders'))
  cache.update(failing(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION), 0)
  t.notOk(cache.topic('orders'))
})
