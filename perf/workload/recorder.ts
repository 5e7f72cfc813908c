/**
 * Counts records, bytes and latencies of a workload, in all and by interval. Latencies go to HDR histograms, in
 * microseconds with three significant digits, so that the far percentiles are as good as the median.
 */

import { cpus } from 'node:os'
import { performance } from 'node:perf_hooks'
import { MEBIBYTE } from '../statistics.ts'
import { WorkloadError } from './errors.ts'
import { makeHistogram, recordMilliseconds, summarize } from './histogram.ts'
import type { Sample, Snapshot, WorkloadKind, WorkloadOptions, WorkloadResult } from './types.ts'

const INTERVAL_MS = 500

export interface RecorderOptions {
  readonly kind: WorkloadKind
  readonly workload: WorkloadOptions
  readonly brokers: string
  readonly onSnapshot: (snapshot: Snapshot) => void
}

export class Recorder {
  private readonly options: RecorderOptions
  private readonly total = makeHistogram()
  private readonly interval = makeHistogram()
  private readonly samples: Sample[] = []
  private readonly startedAt = new Date().toISOString()
  private timer: NodeJS.Timeout | null = null
  private measuredFrom = 0
  private measuredTo = 0
  private cpuAtStart = process.cpuUsage()
  private clientCpu = 0
  private records = 0
  private bytes = 0
  private errors = 0
  private intervalStart = 0
  private intervalRecords = 0
  private intervalBytes = 0
  private phase: Snapshot['phase'] = 'warming up'

  constructor(options: RecorderOptions) {
    this.options = options
    this.intervalStart = performance.now()
    this.timer = setInterval(() => this.closeInterval(), INTERVAL_MS)
    this.timer.unref()
  }

  get measuring(): boolean {
    return this.phase === 'measuring'
  }

  /** Records counted since the measured time began. */
  get measuredRecords(): number {
    return this.records
  }

  /** What came before is forgotten. */
  begin(): void {
    this.total.reset()
    this.interval.reset()
    this.records = 0
    this.bytes = 0
    this.intervalRecords = 0
    this.intervalBytes = 0
    this.cpuAtStart = process.cpuUsage()
    this.measuredFrom = performance.now()
    this.intervalStart = this.measuredFrom
    this.phase = 'measuring'
  }

  /** What comes after is not counted. */
  end(): void {
    if (this.phase !== 'measuring') return
    this.closeInterval(true)
    this.measuredTo = performance.now()
    this.phase = 'finishing'
    const cpu = process.cpuUsage(this.cpuAtStart)
    this.clientCpu = (cpu.user + cpu.system) / 1000 / (this.measuredTo - this.measuredFrom)
    if (this.timer !== null) clearInterval(this.timer)
    this.timer = null
  }

  add(records: number, bytes: number): void {
    this.intervalRecords += records
    this.intervalBytes += bytes
    if (this.phase !== 'measuring') return
    this.records += records
    this.bytes += bytes
  }

  /** `count` records took `milliseconds` each. */
  latency(milliseconds: number, count: number): void {
    recordMilliseconds(this.interval, milliseconds, count)
  }

  error(count: number): void {
    this.errors += count
  }

  private closeInterval(last = false): void {
    const now = performance.now()
    const lengthMs = now - this.intervalStart
    // A timer that fires right after the beginning has nothing to tell; at the end the shortest rest counts.
    if (lengthMs < 1 && !last) return
    const has = this.interval.totalCount > 0
    const at = (percentile: number): number | null =>
      has ? this.interval.getValueAtPercentile(percentile) / 1000 : null
    const sample: Sample = {
      atMs: now - this.measuredFrom,
      lengthMs,
      records: this.intervalRecords,
      bytes: this.intervalBytes,
      p50: at(50),
      p99: at(99),
      max: has ? this.interval.maxValue / 1000 : null,
    }
    if (this.phase === 'measuring') {
      this.samples.push(sample)
      this.total.add(this.interval)
    }
    this.interval.reset()
    this.intervalStart = now
    this.intervalRecords = 0
    this.intervalBytes = 0
    this.options.onSnapshot({
      phase: this.phase,
      done: this.share(now),
      recordsPerSecond: sample.records / (Math.max(lengthMs, 1) / 1000),
      mebibytesPerSecond: sample.bytes / MEBIBYTE / (Math.max(lengthMs, 1) / 1000),
      p50: sample.p50,
      p99: sample.p99,
    })
  }

  private share(now: number): number | null {
    if (this.phase !== 'measuring') return null
    const { count, durationMs } = this.options.workload
    const byTime = (now - this.measuredFrom) / durationMs
    return Math.min(1, Math.max(byTime, count === null ? 0 : this.records / count))
  }

  /** To be called after `end`. */
  result(latencyOf: string | null, notes: readonly string[]): WorkloadResult {
    if (this.phase !== 'finishing')
      throw new WorkloadError('It ended before the measured time began: there is nothing to tell.')
    const durationMs = this.measuredTo - this.measuredFrom
    const seconds = durationMs / 1000
    const { kind, workload, brokers } = this.options
    return {
      kind,
      startedAt: this.startedAt,
      options: workload,
      brokers,
      node: process.version,
      machine: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
      durationMs,
      records: this.records,
      bytes: this.bytes,
      recordsPerSecond: this.records / seconds,
      mebibytesPerSecond: this.bytes / MEBIBYTE / seconds,
      errors: this.errors,
      latencyOf: this.total.totalCount === 0 ? null : latencyOf,
      latency: summarize(this.total),
      samples: this.samples,
      clientCpu: this.clientCpu,
      notes,
    }
  }
}
