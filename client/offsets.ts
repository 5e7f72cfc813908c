/**
 * Finding offsets: ListOffsets and OffsetForLeaderEpoch for many partitions at once, each sent to the leader that it
 * belongs to and tried again where leaders move. Used by consumers and admins alike.
 */
import { type Cluster, CONTROL_LANE, type Lane } from './cluster.ts'
import { type Connection } from './connection.ts'
import { combineErrors, KafkaError, protocolError } from './errors.ts'
import { API } from './protocol/apis.ts'
import { ErrorCode } from './protocol/errors.ts'

export type Isolation = 'read_uncommitted' | 'read_committed'

export const ISOLATION_LEVEL: Readonly<Record<Isolation, number>> = { read_uncommitted: 0, read_committed: 1 }

/** Timestamps that name an offset, and the first version of ListOffsets that knows them. */
export const NAMED_OFFSET = {
  latest: { timestamp: -1, minVersion: 1 },
  earliest: { timestamp: -2, minVersion: 1 },
  'max-timestamp': { timestamp: -3, minVersion: 7 },
  'earliest-local': { timestamp: -4, minVersion: 8 },
  'latest-tiered': { timestamp: -5, minVersion: 9 },
} as const

export interface PlaceInTopic {
  readonly topic: string
  readonly partition: number
}

export interface OffsetQuery extends PlaceInTopic {
  /** Milliseconds since 1970, or one of NAMED_OFFSET. */
  readonly timestamp: number
  readonly minVersion: number
}

export interface FoundOffset extends PlaceInTopic {
  /** -1 where no record fits. */
  readonly offset: number
  readonly timestamp: number
  readonly leaderEpoch: number
}

export interface EpochQuery extends PlaceInTopic {
  readonly leaderEpoch: number
}

export interface EpochEnd extends PlaceInTopic {
  readonly leaderEpoch: number
  readonly endOffset: number
  /** The epoch of the leader that has said so, -1 where the metadata does not tell. */
  readonly currentLeaderEpoch: number
}

interface Options {
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number | undefined
  readonly lane?: Lane
}

/** In the order of the queries. Throws one KafkaError for all that failed (see `combineErrors`). */
export function listOffsets(
  cluster: Cluster,
  queries: readonly OffsetQuery[],
  isolation: Isolation,
  options: Options,
): Promise<FoundOffset[]> {
  return atLeaders(cluster, 'ListOffsets', queries, options, async (connection, group) => {
    const response = await connection.request(
      API.ListOffsets,
      {
        replicaId: -1,
        // A version without the field can only be asked for what is visible to everyone.
        isolationLevel: ISOLATION_LEVEL[isolation],
        topics: byTopic(group).map(([name, partitions]) => ({
          name,
          partitions: partitions.map(({ partition, timestamp }) => ({
            partitionIndex: partition,
            currentLeaderEpoch: -1,
            timestamp,
          })),
        })),
        timeoutMs: cluster.config.requestTimeoutMs,
      },
      {
        timeoutMs: cluster.config.requestTimeoutMs,
        signal: options.signal,
        minVersion: Math.max(
          isolation === 'read_committed' ? 2 : 1,
          ...group.map(({ minVersion }) => minVersion),
        ),
      },
    )
    return response.topics.flatMap(({ name, partitions }) =>
      partitions.map(({ partitionIndex, errorCode, offset, timestamp, leaderEpoch }) => ({
        errorCode,
        found: { topic: name, partition: partitionIndex, offset, timestamp, leaderEpoch },
      })),
    )
  })
}

/** Where each epoch ends in the leader's log (KIP-320). As `listOffsets` otherwise. */
export function epochEnds(
  cluster: Cluster,
  queries: readonly EpochQuery[],
  options: Options,
): Promise<EpochEnd[]> {
  return atLeaders(cluster, 'OffsetForLeaderEpoch', queries, options, async (connection, group) => {
    // As of each attempt: what another one was refused for has been learnt since.
    const asked = group.map(query => ({ ...query, currentLeaderEpoch: leaderEpochOf(cluster, query) }))
    const response = await connection.request(
      API.OffsetForLeaderEpoch,
      {
        replicaId: -1,
        topics: byTopic(asked).map(([topic, partitions]) => ({ topic, partitions })),
      },
      { timeoutMs: cluster.config.requestTimeoutMs, signal: options.signal },
    )
    const epochs = new Map(asked.map(query => [keyOf(query), query.currentLeaderEpoch]))
    return response.topics.flatMap(({ topic, partitions }) =>
      partitions.map(({ partition, errorCode, leaderEpoch, endOffset }) => {
        const currentLeaderEpoch = epochs.get(keyOf({ topic, partition })) ?? -1
        return { errorCode, found: { topic, partition, leaderEpoch, endOffset, currentLeaderEpoch } }
      }),
    )
  })
}

/** The leader epoch that the metadata names, or -1. */
export function leaderEpochOf(cluster: Cluster, { topic, partition }: PlaceInTopic): number {
  return cluster.metadata.topic(topic)?.partitions[partition]?.leaderEpoch ?? -1
}

interface Answer<Found> {
  readonly errorCode: number
  readonly found: Found
}

/** Asks the leader of each partition; those that fail for the moment are asked again with the next attempt. */
export async function atLeaders<Query extends PlaceInTopic, Found extends PlaceInTopic>(
  cluster: Cluster,
  api: string,
  queries: readonly Query[],
  options: Options,
  ask: (connection: Connection, group: readonly Query[]) => Promise<readonly Answer<Found>[]>,
): Promise<Found[]> {
  const found = new Map<string, Found>()
  const failed: KafkaError[] = []
  let open: readonly Query[] = queries
  await cluster.retrying(api, options, async () => {
    const groups = new Map<Connection, Query[]>()
    const again = new Map<string, KafkaError>()
    const judge = (query: Query, error: KafkaError): void => {
      if (error.retriable) again.set(keyOf(query), error)
      else failed.push(error)
    }
    for (const query of open) {
      try {
        const connection = await cluster.route(query, options.lane ?? CONTROL_LANE)
        const group = groups.get(connection)
        if (group === undefined) groups.set(connection, [query])
        else group.push(query)
      } catch (error) {
        if (!(error instanceof KafkaError)) throw error
        judge(query, error)
      }
    }
    await Promise.all(
      [...groups].map(async ([connection, group]) => {
        let answers: readonly Answer<Found>[]
        try {
          answers = await ask(connection, group)
        } catch (error) {
          if (!(error instanceof KafkaError)) throw error
          for (const query of group) judge(query, error)
          return
        }
        const byPlace = new Map(answers.map(answer => [keyOf(answer.found), answer]))
        for (const query of group) {
          const answer = byPlace.get(keyOf(query))
          if (answer?.errorCode === ErrorCode.NONE) found.set(keyOf(query), answer.found)
          else judge(query, refusal(api, connection, query, answer?.errorCode))
        }
      }),
    )
    const [first] = again.values()
    open = open.filter(query => again.has(keyOf(query)))
    if (first !== undefined) throw first
  })
  if (failed.length > 0) throw combineErrors(api, failed, queries.length)
  return queries.map(query => found.get(keyOf(query))!)
}

function refusal(
  api: string,
  connection: Connection,
  place: PlaceInTopic,
  code: number | undefined,
): KafkaError {
  const { topic, partition } = place
  if (code !== undefined) return protocolError(code, { api, broker: connection.label, topic, partition })
  return new KafkaError({
    code: 'MALFORMED_RESPONSE',
    message: `Broker ${connection.label} left ${topic}-${partition} out of its answer to ${api}; asking again.`,
    retriable: true,
    api,
    broker: connection.label,
    topic,
    partition,
  })
}

function keyOf({ topic, partition }: PlaceInTopic): string {
  return `${partition}/${topic}`
}

export function byTopic<T extends { readonly topic: string }>(items: readonly T[]): [string, T[]][] {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(item.topic)
    if (group === undefined) groups.set(item.topic, [item])
    else group.push(item)
  }
  return [...groups]
}
