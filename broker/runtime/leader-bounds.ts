/**
 * Asks a leader where its log of one partition starts and ends, for a follower whose position lies outside of it.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type ListOffsetsResponse } from '../../client/protocol/messages/list-offsets.ts'
import { type BrokerId, type LeaderEpoch, type Offset } from '../../client/protocol/types.ts'
import { type BrokerLink } from './broker-link.ts'
import { type FollowedHost } from './follower-session.ts'

const EARLIEST = -2
const LATEST = -1
/** From here on the leader checks the epoch, and says which one it answers for. */
const MIN_VERSION = 4

export interface LeaderBounds {
  readonly start: Offset
  /** Of all that is written, not of what is committed; `epoch` is the leader's. */
  readonly end: { readonly offset: Offset; readonly epoch: number }
}

export interface BoundsQuery {
  readonly host: Pick<FollowedHost, 'topicName' | 'partition'>
  readonly leaderEpoch: LeaderEpoch
  readonly brokerId: BrokerId
  readonly timeoutMs: number
}

/** Null where the leader does not say: it is not one, or it has another epoch, or the link ended. */
export async function findLeaderBounds(link: BrokerLink, query: BoundsQuery): Promise<LeaderBounds | null> {
  // Both questions leave together: one request cannot ask the same partition twice.
  const [start, end] = await Promise.all([ask(link, query, EARLIEST), ask(link, query, LATEST)])
  if (start === null || end === null) return null
  return { start: start.offset as Offset, end: { offset: end.offset as Offset, epoch: end.leaderEpoch } }
}

type Found = ListOffsetsResponse['topics'][number]['partitions'][number]

function ask(link: BrokerLink, query: BoundsQuery, timestamp: number): Promise<Found | null> {
  const { host, leaderEpoch, brokerId, timeoutMs } = query
  const partitions = [{ partitionIndex: host.partition, currentLeaderEpoch: leaderEpoch, timestamp }]
  const request = {
    replicaId: brokerId,
    isolationLevel: 0,
    topics: [{ name: host.topicName, partitions }],
    timeoutMs,
  }
  return new Promise(resolve => {
    link.send(
      API.ListOffsets,
      request,
      { timeoutMs, minVersion: MIN_VERSION },
      {
        answered(response) {
          const found = response.topics[0]?.partitions[0]
          resolve(found?.errorCode === ErrorCode.NONE && found.offset >= 0 ? found : null)
        },
        failed: () => resolve(null),
      },
    )
  })
}
