/**
 * Incremental fetch sessions: a request names what changed, and nothing else.
 */
import t from 'tap'
import { FetchSession, type WantedPartition } from '../../../client/consumer/fetch-session.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { type TopicId } from '../../../client/protocol/types.ts'

const ID = '00000000000000000000000000000001' as TopicId

function wanted(partition: number, fetchOffset: number, topicId: TopicId = ID): WantedPartition {
  return { topic: 'orders', topicId, partition, fetchOffset, currentLeaderEpoch: 0, partitionMaxBytes: 100 }
}

function named(session: FetchSession, partitions: readonly WantedPartition[]) {
  const { sessionId, sessionEpoch, topics, forgottenTopicsData } = session.request(partitions)
  return {
    session: [sessionId, sessionEpoch],
    asks: topics.flatMap(({ partitions }) =>
      partitions.map(({ partition, fetchOffset }) => [partition, fetchOffset]),
    ),
    forgets: forgottenTopicsData.flatMap(({ partitions }) => partitions),
  }
}

t.test('the first request is a full one, the next ones name what changed', async t => {
  const session = new FetchSession()
  t.same(named(session, [wanted(0, 0), wanted(1, 0)]), {
    session: [0, 0],
    asks: [
      [0, 0],
      [1, 0],
    ],
    forgets: [],
  })
  session.accepted(77)
  t.same(named(session, [wanted(0, 0), wanted(1, 10)]), { session: [77, 1], asks: [[1, 10]], forgets: [] })
  session.accepted(77)
  t.same(named(session, [wanted(0, 0)]), { session: [77, 2], asks: [], forgets: [1] })
  session.accepted(77)
  t.same(named(session, [wanted(0, 0), wanted(1, 10)]), { session: [77, 3], asks: [[1, 10]], forgets: [] })
})

t.test('a broker that gives no session is asked in full every time', async t => {
  const session = new FetchSession()
  session.request([wanted(0, 0)])
  session.accepted(0)
  t.same(named(session, [wanted(0, 0)]), { session: [0, 0], asks: [[0, 0]], forgets: [] })
  t.equal(session.farewell(), null)
})

t.test('after a disagreement the session starts over', async t => {
  const session = new FetchSession()
  session.request([wanted(0, 0)])
  session.accepted(77)
  session.request([wanted(0, 5)])
  session.failed(ErrorCode.INVALID_FETCH_SESSION_EPOCH)
  t.same(
    named(session, [wanted(0, 5)]),
    { session: [77, 0], asks: [[0, 5]], forgets: [] },
    'freeing the old one',
  )
  session.failed(ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
  t.same(named(session, [wanted(0, 5)]), { session: [0, 0], asks: [[0, 5]], forgets: [] })
})

t.test('a request that was not answered changes nothing that is relied on', async t => {
  const session = new FetchSession()
  session.request([wanted(0, 0)])
  session.accepted(77)
  session.request([wanted(0, 9)])
  session.failed(null)
  t.same(named(session, [wanted(0, 9)]).asks, [[0, 9]])
})

t.test('a topic that was made anew starts a new session', async t => {
  const session = new FetchSession()
  session.request([wanted(0, 0)])
  session.accepted(77)
  const other = '00000000000000000000000000000002' as TopicId
  t.same(named(session, [wanted(0, 0, other)]), { session: [77, 0], asks: [[0, 0]], forgets: [] })
})

t.test('a farewell frees the session', async t => {
  const session = new FetchSession()
  session.request([wanted(0, 0)])
  session.accepted(77)
  t.match(session.farewell(), { sessionId: 77, sessionEpoch: -1 })
  t.notOk(session.isEstablished)
})
