/**
 * The jobs that the benchmark's parent gives to its load generator, and what comes back. Types only, so that reading
 * it starts nothing.
 */

interface Job {
  readonly id: number
  readonly port: number
  /** False where the other end is the bare pipe, whose answers carry no error codes. */
  readonly broker: boolean
  readonly topic: string
  /** Connections; the n-th uses partition `firstPartition` + n, modulo the number of partitions. */
  readonly connections: number
  readonly partitions: number
  readonly firstPartition: number
  /** Requests under way on one connection. */
  readonly inFlight: number
  /** Bytes of one record batch, as stored; the batch is made to be exactly that long. */
  readonly batchBytes: number
  readonly recordBytes: number
  /** What is acknowledged or received in this time is not counted. */
  readonly warmupMs: number
  readonly durationMs: number
  /** Stops after this many bytes in all, counted from the first; null measures by time. */
  readonly limitBytes: number | null
  /** Sends no faster than this in all, in even steps; without it as fast as answers come. */
  readonly bytesPerSecond?: number
  /** Tells how long each request took, from its sending to its answer. */
  readonly timeEach?: boolean
}

export interface ProduceJob extends Job {
  readonly kind: 'produce'
  readonly acks: -1 | 1
}

export interface FetchJob extends Job {
  readonly kind: 'fetch'
  /** Bytes of batches asked for by one request: a multiple of `batchBytes`. */
  readonly readBytes: number
  /** Reading goes round and round between these offsets, of which the first is the first of a batch. */
  readonly fromOffset: number
  readonly toOffset: number
}

export type DriverJob = ProduceJob | FetchJob

/** Of the requests that were answered within the measured time. */
export interface Latency {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface DriverResult {
  readonly id: number
  /** Batch bytes acknowledged, or answer bytes received, within the measured time. */
  readonly bytes: number
  readonly requests: number
  readonly durationMs: number
  /** Batch bytes acknowledged since the job's start, with the warm-up. */
  readonly totalBytes: number
  readonly totalRequests: number
  /** Time the generator's own thread was busy: near `durationMs` it is the generator that limits. */
  readonly busyMs: number
  /** In milliseconds; null unless the job asked for it. */
  readonly latency: Latency | null
  readonly error: string | null
}
