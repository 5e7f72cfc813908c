import t from 'tap'
import { errorResponse } from '../../../broker/testing/error-response.ts'
import { API, APIS, type Api, type ApiName } from '../../../client/protocol/apis.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { Reader } from '../../../client/protocol/reader.ts'
import { Writer } from '../../../client/protocol/writer.ts'

const { NOT_LEADER_OR_FOLLOWER } = ErrorCode

/** The response as a client would decode it. */
function decoded(name: ApiName, version: number, request: object) {
  const api = API[name] as Api
  const writer = new Writer()
  api.response.at(version).encode(writer, errorResponse(api, version, request, NOT_LEADER_OR_FOLLOWER))
  return api.response.at(version).decode(new Reader(writer.concat()))
}

t.test('each partition that a request names has the error', t => {
  const produce = {
    acks: -1,
    topicData: [
      { name: 'a', partitionData: [{ index: 0 }, { index: 7 }] },
      { name: 'b', partitionData: [{ index: 1 }] },
    ],
  }
  const code = { errorCode: NOT_LEADER_OR_FOLLOWER, baseOffset: -1 }
  t.match(decoded('Produce', 9, produce), {
    responses: [
      {
        name: 'a',
        partitionResponses: [
          { index: 0, ...code },
          { index: 7, ...code },
        ],
      },
      { name: 'b', partitionResponses: [{ index: 1, ...code }] },
    ],
  })
  const fetch = { topics: [{ topic: 'a', partitions: [{ partition: 3 }] }] }
  const fetched = decoded('Fetch', 11, fetch)
  t.match(fetched, {
    errorCode: 0,
    responses: [{ topic: 'a', partitions: [{ partitionIndex: 3, errorCode: NOT_LEADER_OR_FOLLOWER }] }],
  })
  t.match(fetched, { responses: [{ partitions: [{ records: Buffer.alloc(0) }] }] }, 'records are never null')
  const topicId = '000102030405060708090a0b0c0d0e0f'
  t.match(decoded('Fetch', 16, { topics: [{ topicId, partitions: [{ partition: 3 }] }] }), {
    responses: [{ topicId, partitions: [{ partitionIndex: 3, errorCode: NOT_LEADER_OR_FOLLOWER }] }],
  })
  t.match(
    decoded('ListOffsets', 5, { topics: [{ name: 'a', partitions: [{ partitionIndex: 2, timestamp: 5 }] }] }),
    {
      topics: [{ name: 'a', partitions: [{ partitionIndex: 2, errorCode: NOT_LEADER_OR_FOLLOWER }] }],
    },
  )
  t.match(decoded('DescribeProducers', 0, { topics: [{ name: 'a', partitionIndexes: [2, 4] }] }), {
    topics: [{ name: 'a', partitions: [{ partitionIndex: 2 }, { partitionIndex: 4 }] }],
  })
  t.end()
})

t.test('each topic or resource that a request names has the error', t => {
  t.match(decoded('Metadata', 9, { topics: [{ name: 'a' }, { name: 'b' }] }), {
    topics: [
      { name: 'a', errorCode: NOT_LEADER_OR_FOLLOWER, partitions: [] },
      { name: 'b', errorCode: NOT_LEADER_OR_FOLLOWER },
    ],
  })
  t.match(decoded('DeleteTopics', 1, { topicNames: ['a'] }), {
    responses: [{ name: 'a', errorCode: NOT_LEADER_OR_FOLLOWER }],
  })
  t.match(decoded('DescribeConfigs', 4, { resources: [{ resourceType: 2, resourceName: 'a' }] }), {
    results: [{ resourceType: 2, resourceName: 'a', errorCode: NOT_LEADER_OR_FOLLOWER }],
  })
  t.match(decoded('FindCoordinator', 4, { keyType: 0, coordinatorKeys: ['g'] }), {
    coordinators: [{ key: 'g', errorCode: NOT_LEADER_OR_FOLLOWER }],
  })
  t.end()
})

t.test('where a request names nothing, the error stands at the top', t => {
  t.match(decoded('InitProducerId', 4, { transactionalId: null }), {
    errorCode: NOT_LEADER_OR_FOLLOWER,
    producerId: -1n,
  })
  t.match(decoded('Fetch', 16, { topics: [] }), { errorCode: NOT_LEADER_OR_FOLLOWER, responses: [] })
  t.match(decoded('ApiVersions', 3, {}), { errorCode: NOT_LEADER_OR_FOLLOWER })
  t.end()
})

t.test('every API in every version can be answered with an error', t => {
  for (const api of APIS) {
    for (let version = api.minVersion; version <= api.maxVersion; version++) {
      t.doesNotThrow(
        () =>
          api.response
            .at(version)
            .encode(new Writer(), errorResponse(api, version, {}, NOT_LEADER_OR_FOLLOWER)),
        `${api.name} ${version}`,
      )
    }
  }
  t.end()
})
