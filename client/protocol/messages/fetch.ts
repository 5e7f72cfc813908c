/**
 * Fetch: reads record batches of partitions from given offsets, and waits for more where there are too few.
 * Consumers and followers use the same request; a follower gives its replica id.
 *
 * Versions: 4 is the oldest (record batch v2, isolation level), 7 adds incremental fetch sessions (KIP-227), 9
 * fences by leader epoch (KIP-320), 10 allows zstd, 11 may send a consumer to a near replica (KIP-392), 12 is
 * flexible and reports where logs diverge (KIP-595), 13 names topics by id (KIP-516), 15 moves the replica id
 * into a tagged field (KIP-903), 16 names the endpoints of new leaders (KIP-951), 17 adds the follower's
 * directory (KIP-853), 18 its high watermark (KIP-1166).
 *
 * Records in a response are empty rather than null where there are none: librdkafka takes null for an error.
 */
import {
  array,
  bigint64,
  type Infer,
  int8,
  int16,
  int32,
  int64,
  message,
  producerId,
  records,
  string,
  struct,
  uuid,
} from '../schema.ts'

const versions = { min: 4, max: 18, flexible: 12 }

export const FetchRequest = message('FetchRequest', versions, {
  clusterId: string({ since: 12, nullable: true, default: null, tag: 0, ignorable: true }),
  replicaId: int32({ until: 14, default: -1 }),
  replicaState: struct(
    {
      replicaId: int32({ default: -1 }),
      replicaEpoch: int64({ default: -1 }),
    },
    { since: 15, tag: 1 },
  ),
  maxWaitMs: int32(),
  minBytes: int32(),
  maxBytes: int32({ default: 0x7fff_ffff }),
  isolationLevel: int8({ default: 0 }),
  sessionId: int32({ since: 7, ignorable: true }),
  sessionEpoch: int32({ since: 7, default: -1, ignorable: true }),
  topics: array({
    topic: string({ until: 12, ignorable: true }),
    topicId: uuid({ since: 13, ignorable: true }),
    partitions: array({
      partition: int32(),
      currentLeaderEpoch: int32({ since: 9, default: -1, ignorable: true }),
      fetchOffset: int64(),
      lastFetchedEpoch: int32({ since: 12, default: -1 }),
      logStartOffset: int64({ since: 5, default: -1, ignorable: true }),
      partitionMaxBytes: int32(),
      replicaDirectoryId: uuid({ since: 17, tag: 0, ignorable: true }),
      highWatermark: bigint64({ since: 18, default: 0x7fff_ffff_ffff_ffffn, tag: 1, ignorable: true }),
    }),
  }),
  forgottenTopicsData: array(
    {
      topic: string({ until: 12, ignorable: true }),
      topicId: uuid({ since: 13, ignorable: true }),
      partitions: array(int32()),
    },
    { since: 7 },
  ),
  rackId: string({ since: 11, ignorable: true }),
})
export type FetchRequest = Infer<typeof FetchRequest>

export const FetchResponse = message('FetchResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16({ since: 7, ignorable: true }),
  sessionId: int32({ since: 7 }),
  responses: array({
    topic: string({ until: 12, ignorable: true }),
    topicId: uuid({ since: 13, ignorable: true }),
    partitions: array({
      partitionIndex: int32(),
      errorCode: int16(),
      highWatermark: int64(),
      lastStableOffset: int64({ default: -1 }),
      logStartOffset: int64({ since: 5, default: -1, ignorable: true }),
      divergingEpoch: struct(
        {
          epoch: int32({ default: -1 }),
          endOffset: int64({ default: -1 }),
        },
        { since: 12, tag: 0 },
      ),
      currentLeader: struct(
        {
          leaderId: int32({ default: -1 }),
          leaderEpoch: int32({ default: -1 }),
        },
        { since: 12, tag: 1 },
      ),
      snapshotId: struct(
        {
          endOffset: int64({ default: -1 }),
          epoch: int32({ default: -1 }),
        },
        { since: 12, tag: 2 },
      ),
      abortedTransactions: array(
        {
          producerId: producerId(),
          firstOffset: int64(),
        },
        { nullable: true },
      ),
      preferredReadReplica: int32({ since: 11, default: -1 }),
      records: records(),
    }),
  }),
  nodeEndpoints: array(
    {
      nodeId: int32(),
      host: string(),
      port: int32(),
      rack: string({ nullable: true, default: null }),
    },
    { since: 16, tag: 0 },
  ),
})
export type FetchResponse = Infer<typeof FetchResponse>
