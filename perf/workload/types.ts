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

export type WorkloadKind = 'produce' | 'consume' | 'e2e'

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
}

/** Given to whoever shows progress, a few times a second. */
export interface Snapshot {
  readonly phase: 'filling' | 'warming up' | 'measuring' | 'finishing'
  /** 0 .. 1, or null where there is no end in sight. */
  readonly done: number | null
  readonly recordsPerSecond: number
  readonly mebibytesPerSecond: number
  readonly p50: number | null
  readonly p99: number | null
}

export interface WorkloadContext {
  readonly signal: AbortSignal
  readonly onSnapshot: (snapshot: Snapshot) => void
}
