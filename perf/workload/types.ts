/** The words of the workloads that `sluice bench` runs against any Kafka-compatible broker. Types only. */

export interface WorkloadOptions {
  readonly topic: string
  /** Partitions used, from 0; the topic is made with so many where it is missing. */
  readonly partitions: number
  /** Value of each record, in bytes; at least 16. */
  readonly recordBytes: number
  readonly batchBytes: number
  readonly lingerMs: number
  readonly acks: 'all' | 0 | 1
  readonly compression: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
  /** Share of each value that repeats, 0 .. 1: what a codec can take away. */
  readonly compressible: number
  /** Producers, each with connections of its own. */
  readonly producers: number
  /** Records per second in all; null is as fast as it goes. */
  readonly rate: number | null
  /** Measured time; ends earlier where `count` is reached. */
  readonly durationMs: number
  /** Records in all; null is no limit. */
  readonly count: number | null
  /** Time before the measured time, not counted. */
  readonly warmupMs: number
  /** The workloads of groups have it, the others do not. */
  readonly group?: GroupOptions
}

export interface GroupOptions {
  readonly groupId: string
  /** At the start. */
  readonly members: number
  readonly protocol: 'classic' | 'consumer'
  /** Classic protocol: of the members. Consumer protocol: of the broker, null for its choice. */
  readonly assignor: string | null
  /** Members that only speak the protocol of membership, and read nothing. */
  readonly light: boolean
  /** Members that go or come in a second, in turn; 0 leaves the group alone. */
  readonly churn: number
  readonly heartbeatIntervalMs: number
  readonly sessionTimeoutMs: number
}

/** What a run says of its group. Stable: each partition has one owner, and none has two more than another. */
export interface GroupFigures {
  /** From the start of the first member to the first time that the group was stable; null where it never was. */
  readonly firstStableMs: number | null
  /** Processor time that this process, not the broker, took until then. */
  readonly firstStableCpuMs: number | null
  /** Members that went or came in the measured time. */
  readonly changes: number
  /** From each change to the next time that the group was stable. */
  readonly settling: LatencySummary | null
  /** Changes after which it was not stable again before the end. */
  readonly unsettled: number
  /** Partitions that another member reads than before. */
  readonly moved: number
  /**
   * What had to move, were each change dealt out for itself: all that a leaver had, the fair share of a newcomer.
   * Changes that are dealt out together can do with less.
   */
  readonly leastMoved: number
  /** Partitions that a member let go of, whoever got them then. */
  readonly revoked: number
  /** Times that a partition had two owners. */
  readonly overlaps: number
  /** Records that were handed out again, or never. */
  readonly reread: number
  readonly skipped: number
  readonly pauses: GroupPauses
}

/** Times without a record, though records were due all the time. */
export interface GroupPauses {
  /** From the last record of the old owner to the first of the new one, of each partition that moved. */
  readonly moved: LatencySummary | null
  /** The longest between two changes, of each partition that stayed where it was. */
  readonly stayed: LatencySummary | null
  /** The longest between two changes, of each member that had read before. */
  readonly members: LatencySummary | null
  /** From the start of a member to its first record. */
  readonly newcomers: LatencySummary | null
}

/** One interval of the measured time. */
export interface Sample {
  /** End of the interval, from the start of the measured time. */
  readonly atMs: number
  readonly lengthMs: number
  readonly records: number
  readonly bytes: number
  /** Latencies in milliseconds; null where none was recorded. */
  readonly p50: number | null
  readonly p99: number | null
  readonly max: number | null
}

export interface LatencySummary {
  readonly count: number
  /** Milliseconds, all of them. */
  readonly mean: number
  readonly min: number
  readonly p50: number
  readonly p90: number
  readonly p95: number
  readonly p99: number
  readonly p999: number
  readonly p9999: number
  readonly max: number
  /** Points of the distribution for a chart: percentile 0 .. 100, value in milliseconds. */
  readonly curve: readonly { readonly percentile: number; readonly value: number }[]
}

export type WorkloadKind = 'produce' | 'consume' | 'e2e' | 'group' | 'commits'

export interface WorkloadResult {
  readonly kind: WorkloadKind
  readonly startedAt: string
  readonly options: WorkloadOptions
  readonly brokers: string
  readonly node: string
  readonly machine: string
  /** What was measured, without the warm-up. */
  readonly durationMs: number
  readonly records: number
  readonly bytes: number
  readonly recordsPerSecond: number
  readonly mebibytesPerSecond: number
  readonly errors: number
  /** What the latency is of; null where there is none to measure. */
  readonly latencyOf: string | null
  readonly latency: LatencySummary | null
  readonly samples: readonly Sample[]
  /** Processor time of this process in the measured time, as a share of one core. */
  readonly clientCpu: number
  readonly notes: readonly string[]
  /** The workloads of groups have it, the others do not. */
  readonly group?: GroupFigures
}

/** Given to whoever shows progress, a few times a second. */
export interface Snapshot {
  readonly phase: 'filling' | 'joining' | 'warming up' | 'measuring' | 'finishing'
  /** 0 .. 1, or null where there is no end in sight. */
  readonly done: number | null
  readonly recordsPerSecond: number
  readonly mebibytesPerSecond: number
  readonly p50: number | null
  readonly p99: number | null
  /** What else there is to say. */
  readonly note?: string
}

export interface WorkloadContext {
  readonly signal: AbortSignal
  readonly onSnapshot: (snapshot: Snapshot) => void
}
