/**
 * What a partition's log wants to know of its topic's configuration, typed and in units. The table that reads names
 * and texts is elsewhere; nothing here parses.
 */

/** Which clock a record's timestamp comes from. */
export type TimestampType = 'CreateTime' | 'LogAppendTime'

export type CleanupPolicy = 'delete' | 'compact'

/** The codec that the log stores; `producer` keeps what came in. */
export type LogCompressionType = 'producer' | 'uncompressed' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

/**
 * Topic configuration as one partition's log uses it. Kafka's name of each in brackets where it differs by more than
 * dots. A limit of -1 means "none"; `Number.MAX_SAFE_INTEGER` stands for "never" where Kafka has a long's maximum.
 */
export interface LogConfig {
  readonly cleanupPolicy: readonly CleanupPolicy[]
  readonly compressionType: LogCompressionType
  /** -1: no limit by time. */
  readonly retentionMs: number
  /** -1: no limit by size. */
  readonly retentionBytes: number
  readonly segmentBytes: number
  readonly segmentMs: number
  readonly segmentJitterMs: number
  /** Size of an index file (segment.index.bytes): bounds the entries that one segment may have. */
  readonly segmentIndexBytes: number
  readonly indexIntervalBytes: number
  /** Largest record batch that is accepted (max.message.bytes). */
  readonly maxMessageBytes: number
  /** Sync after so many records (flush.messages); MAX_SAFE_INTEGER: never for that reason. */
  readonly flushMessages: number
  /** Sync what is older than this (flush.ms); MAX_SAFE_INTEGER: never for that reason. */
  readonly flushMs: number
  /** An offset counts only once it is on disk (log.flush.before.ack): acks=all then means durable. */
  readonly flushBeforeAck: boolean
  readonly messageTimestampType: TimestampType
  /** How far a record's timestamp may lie behind the broker's clock; MAX_SAFE_INTEGER: any. */
  readonly messageTimestampBeforeMaxMs: number
  /** How far ahead of the broker's clock. */
  readonly messageTimestampAfterMaxMs: number
  readonly minInsyncReplicas: number
  /** Between the renaming of a deleted file and its removal (file.delete.delay.ms). */
  readonly fileDeleteDelayMs: number
  readonly preallocate: boolean
  /** Share of a compacted log that must be dirty before it is worth compacting it again, 0 to 1. */
  readonly minCleanableDirtyRatio: number
  /** Records younger than this are not compacted away; 0: any may be. */
  readonly minCompactionLagMs: number
  /** Records older than this are compacted, worth it or not; MAX_SAFE_INTEGER: never for that reason. */
  readonly maxCompactionLagMs: number
  /** How long a tombstone outlives the first compaction that sees it (delete.retention.ms). */
  readonly deleteRetentionMs: number
}

/** Kafka 4's defaults, with Sluice's own `flushBeforeAck`. */
export const DEFAULT_LOG_CONFIG: LogConfig = {
  cleanupPolicy: ['delete'],
  compressionType: 'producer',
  retentionMs: 7 * 24 * 60 * 60 * 1000,
  retentionBytes: -1,
  segmentBytes: 1024 * 1024 * 1024,
  segmentMs: 7 * 24 * 60 * 60 * 1000,
  segmentJitterMs: 0,
  segmentIndexBytes: 10 * 1024 * 1024,
  indexIntervalBytes: 4096,
  maxMessageBytes: 1_048_588,
  flushMessages: Number.MAX_SAFE_INTEGER,
  flushMs: Number.MAX_SAFE_INTEGER,
  flushBeforeAck: true,
  messageTimestampType: 'CreateTime',
  messageTimestampBeforeMaxMs: Number.MAX_SAFE_INTEGER,
  messageTimestampAfterMaxMs: 60 * 60 * 1000,
  minInsyncReplicas: 1,
  fileDeleteDelayMs: 60_000,
  preallocate: false,
  minCleanableDirtyRatio: 0.5,
  minCompactionLagMs: 0,
  maxCompactionLagMs: Number.MAX_SAFE_INTEGER,
  deleteRetentionMs: 24 * 60 * 60 * 1000,
}
