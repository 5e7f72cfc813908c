/**
 * ListOffsets: offsets by timestamp, and the special ones by negative timestamps, each from the version on that knows
 * it. There is no remote tier: what is local is all there is.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type ListOffsetsRequest,
  type ListOffsetsResponse,
} from '../../client/protocol/messages/list-offsets.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { onceEach } from '../runtime/once-each.ts'
import { type PartitionHost } from '../runtime/partition-host.ts'
import { type Isolation } from '../runtime/partition-types.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext, partitionOf } from './context.ts'
import { sideBySide } from './side-by-side.ts'

type Response = Input<typeof ListOffsetsResponse>
type ResponsePartition = Response['topics'][number]['partitions'][number]
type AskedPartition = ListOffsetsRequest['topics'][number]['partitions'][number]

const LATEST = -1
const EARLIEST = -2
const EARLIEST_LOCAL = -4
const LATEST_TIERED = -5
const EARLIEST_PENDING_UPLOAD = -6

const LEADER_EPOCH_SINCE = 4

/** Since which version of the API each special timestamp is known. */
const SPECIAL_SINCE: ReadonlyMap<number, number> = new Map([
  [LATEST, 1],
  [EARLIEST, 1],
  [-3, 7],
  [EARLIEST_LOCAL, 8],
  [LATEST_TIERED, 9],
  [EARLIEST_PENDING_UPLOAD, 11],
])

interface Asker {
  readonly isolation: Isolation
  readonly apiVersion: number
  /** Negative: a client. */
  readonly replicaId: number
}

export function listOffsetsHandler(context: BrokerContext): ApiHandler<ListOffsetsRequest, Response> {
  return {
    api: API.ListOffsets,
    async handle(request, { apiVersion }) {
      const isolation = request.isolationLevel === 1 ? 'read_committed' : 'read_uncommitted'
      const topics = Array.from(partitionsByTopic(request), ([name, partitions]) => ({
        name,
        partitions: [] as ResponsePartition[],
        asked: onceEach(partitions, ({ partitionIndex }) => partitionIndex),
      }))
      const all = topics.flatMap(topic => topic.asked.map(asked => ({ topic, ...asked })))
      const listed = await sideBySide(context.env.timers, all, ({ topic: { name }, item, isDuplicate }) =>
        isDuplicate
          ? failed(item, ErrorCode.INVALID_REQUEST)
          : listOne(context, name, item, { isolation, apiVersion, replicaId: request.replicaId }),
      )
      for (const [index, { topic }] of all.entries()) topic.partitions.push(listed[index]!)
      return { topics: topics.map(({ name, partitions }) => ({ name, partitions })) }
    },
  }
}

async function listOne(
  context: BrokerContext,
  name: string,
  asked: AskedPartition,
  { isolation, apiVersion, replicaId }: Asker,
): Promise<ResponsePartition> {
  const { partitionIndex, timestamp, currentLeaderEpoch } = asked
  const topic = context.metadata.image.topic(name)
  const host = partitionOf(context, topic, partitionIndex)
  if (typeof host === 'number') return failed(asked, host)
  if (timestamp < 0 && apiVersion < (SPECIAL_SINCE.get(timestamp) ?? Number.POSITIVE_INFINITY)) {
    return failed(asked, ErrorCode.UNSUPPORTED_VERSION)
  }
  // Who only says that it is a replica is told what is committed, as any client is.
  const isReplica = topic?.partitions[partitionIndex]?.replicas.includes(replicaId) === true
  if (isReplica && timestamp === LATEST) return listEnd(host, asked, apiVersion)
  if (timestamp === LATEST_TIERED || timestamp === EARLIEST_PENDING_UPLOAD) {
    const error = host.checkLeader(currentLeaderEpoch)
    return failed(asked, error)
  }
  const wanted = timestamp === EARLIEST_LOCAL ? EARLIEST : timestamp
  const outcome = await host.listOffset(wanted, isolation, currentLeaderEpoch)
  return {
    partitionIndex,
    errorCode: outcome.error,
    timestamp: outcome.timestamp,
    offset: outcome.offset,
    leaderEpoch: apiVersion >= LEADER_EPOCH_SINCE ? outcome.leaderEpoch : -1,
  }
}

/** A follower asks where the log ends, and not up to where it is committed. */
function listEnd(host: PartitionHost, asked: AskedPartition, apiVersion: number): ResponsePartition {
  const error = host.checkLeader(asked.currentLeaderEpoch)
  if (error !== ErrorCode.NONE) return failed(asked, error)
  const { partitionIndex } = asked
  const offset = host.state.writtenOffset
  const leaderEpoch = apiVersion >= LEADER_EPOCH_SINCE ? host.leaderEpoch : -1
  return { partitionIndex, errorCode: error, timestamp: -1, offset, leaderEpoch }
}

/** Also the way to say, without an error, that there is no such offset. */
function failed({ partitionIndex }: AskedPartition, errorCode: ErrorCode): ResponsePartition {
  return { partitionIndex, errorCode, timestamp: -1, offset: -1, leaderEpoch: -1 }
}

/** Topics of which no partition is asked for are not told of either. */
function partitionsByTopic({ topics }: ListOffsetsRequest): Map<string, AskedPartition[]> {
  const byTopic = new Map<string, AskedPartition[]>()
  for (const { name, partitions } of topics) {
    if (partitions.length === 0) continue
    const known = byTopic.get(name)
    if (known === undefined) byTopic.set(name, [...partitions])
    else for (const partition of partitions) known.push(partition)
  }
  return byTopic
}
