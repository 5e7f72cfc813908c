/** Elections and moves of partitions, asked of a broker that is alone: nothing can be moved, and all is answered so. */
import t from 'tap'
import { API } from '../../../client/protocol/apis.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { TestBroker } from './test-broker.ts'

async function started(): Promise<TestBroker> {
  const test = await TestBroker.start()
  t.teardown(() => test.stop())
  await test.createTopic('a', 2)
  await test.createTopic('b', 1)
  return test
}

t.test(
  'a partition that has its leader needs no election, and is not told of where none was named',
  async t => {
    const { client } = await started()
    const named = await client.request(API.ElectLeaders, 2, {
      electionType: 0,
      topicPartitions: [
        { topic: 'a', partitions: [0, 7, 0] },
        { topic: 'none', partitions: [0] },
        { topic: 'a', partitions: [1] },
      ],
    })
    t.equal(named.errorCode, ErrorCode.NONE)
    t.same(
      named.replicaElectionResults.map(({ topic, partitionResult }) => [
        topic,
        partitionResult.map(({ partitionId, errorCode }) => [partitionId, errorCode]),
      ]),
      [
        [
          'a',
          [
            [0, ErrorCode.ELECTION_NOT_NEEDED],
            [7, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
            [1, ErrorCode.ELECTION_NOT_NEEDED],
          ],
        ],
        ['none', [[0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION]]],
      ],
    )
    const all = await client.request(API.ElectLeaders, 2, { electionType: 1, topicPartitions: null })
    t.same(all.replicaElectionResults, [])
    const odd = await client.request(API.ElectLeaders, 2, { electionType: 5, topicPartitions: null })
    t.equal(odd.errorCode, ErrorCode.INVALID_REQUEST)
  },
)

t.test('each move is answered for itself, and one asked for twice is refused', async t => {
  const { client } = await started()
  const { errorCode, responses } = await client.request(API.AlterPartitionReassignments, 1, {
    topics: [
      {
        name: 'a',
        partitions: [
          { partitionIndex: 0, replicas: [1] },
          { partitionIndex: 1, replicas: [2] },
          { partitionIndex: 2, replicas: [1] },
        ],
      },
      {
        name: 'b',
        partitions: [
          { partitionIndex: 0, replicas: null },
          { partitionIndex: 0, replicas: [1] },
        ],
      },
      { name: 'none', partitions: [{ partitionIndex: 0, replicas: null }] },
    ],
  })
  t.equal(errorCode, ErrorCode.NONE)
  t.same(
    responses.map(({ partitions }) => partitions.map(partition => partition.errorCode)),
    [
      [ErrorCode.NONE, ErrorCode.INVALID_REPLICA_ASSIGNMENT, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
      [ErrorCode.INVALID_REQUEST],
      [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION],
    ],
  )
  const cancelled = await client.request(API.AlterPartitionReassignments, 0, {
    topics: [{ name: 'b', partitions: [{ partitionIndex: 0, replicas: null }] }],
  })
  t.equal(cancelled.responses[0]?.partitions[0]?.errorCode, ErrorCode.NO_REASSIGNMENT_IN_PROGRESS)
  const listed = await client.request(API.ListPartitionReassignments, 0, { topics: null })
  t.same([listed.errorCode, listed.topics], [ErrorCode.NONE, []])
})
