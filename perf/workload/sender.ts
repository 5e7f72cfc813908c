/**
 * The sending half of the workloads: records with explicit partitions, paced, their acknowledgements matched with the
 * times at which they were due. Deliveries of one partition come in the order of sending, so a queue per partition is
 * enough; runs of records that were due at nearly the same time are kept as one entry.
 */
import { performance } from 'node:perf_hooks'
import type { DeliveryReport, Kafka, Message, Producer } from '../../client/index.ts'
import { Pacer } from './pacing.ts'
import { makeValues } from './payload.ts'
import type { Recorder } from './recorder.ts'
import type { WorkloadOptions } from './types.ts'

/** Records whose due times lie this near share an entry: far below what the histograms are read for. */
const SAME_TIME_MS = 0.02

interface Run {
  dueAt: number
  count: number
}

/** Due times of what is under way in one partition. */
class DueQueue {
  private runs: Run[] = []
  private head = 0

  push(dueAt: number): void {
    const last = this.runs.at(-1)
    if (last !== undefined && this.head < this.runs.length && dueAt - last.dueAt < SAME_TIME_MS)
      last.count += 1
    else this.runs.push({ dueAt, count: 1 })
  }

  take(count: number, each: (dueAt: number, count: number) => void): void {
    let left = count
    while (left > 0 && this.head < this.runs.length) {
      const run = this.runs[this.head]!
      const taken = Math.min(left, run.count)
      each(run.dueAt, taken)
      run.count -= taken
      left -= taken
      if (run.count === 0) this.head += 1
    }
    if (this.head > 1024 && this.head * 2 > this.runs.length) {
      this.runs = this.runs.slice(this.head)
      this.head = 0
    }
  }
}

export interface SenderOptions {
  readonly kafka: Kafka
  readonly workload: WorkloadOptions
  readonly recorder: Recorder
  /** Whether acknowledgements are what is counted (produce), or only sent (e2e, filling). */
  readonly counts: boolean
  /** Writes the due time into the first eight bytes of each value, as a double, for a consumer to read. */
  readonly stampValues: boolean
  /** Records that go to a partition before it is the turn of the next one. Default: what fills a batch. */
  readonly perPartition?: number
}

export class Sender {
  private readonly options: SenderOptions
  private readonly producer: Producer
  private readonly queues: DueQueue[]
  private readonly values: Buffer[]
  private partition = 0
  private inPartition = 0
  private readonly perPartition: number
  sent = 0
  failed = 0
  firstError: Error | null = null

  constructor(options: SenderOptions, index: number) {
    this.options = options
    const { workload } = options
    this.queues = Array.from({ length: workload.partitions }, () => new DueQueue())
    this.values = makeValues(workload.recordBytes, workload.compressible)
    // As the sticky partitioner does: a batch's worth to one partition, then the next.
    this.perPartition =
      options.perPartition ?? Math.max(1, Math.floor(workload.batchBytes / (workload.recordBytes + 16)))
    this.partition = index % workload.partitions
    this.producer = options.kafka.producer({
      acks: workload.acks,
      compression: workload.compression,
      batchBytes: workload.batchBytes,
      lingerMs: workload.lingerMs,
      onDelivery: report => this.delivered(report),
    })
  }

  connect(): Promise<void> {
    return this.producer.connect()
  }

  /** Sends until `more` says no; then waits for what is under way. `rate` is of this sender alone. */
  async run(rate: number | null, more: () => boolean): Promise<void> {
    const pacer = new Pacer(rate)
    const { topic } = this.options.workload
    while (more()) {
      const due = await pacer.due()
      for (let index = 0; index < due && more(); index += 1) {
        const dueAt = pacer.next()
        const room = this.producer.enqueue(topic, this.message(dueAt))
        if (room !== undefined) await room
      }
    }
    try {
      await this.producer.flush()
    } catch (error) {
      this.firstError ??= error as Error
    }
  }

  close(): Promise<void> {
    return this.producer.close()
  }

  private message(dueAt: number): Message {
    const { stampValues } = this.options
    let value = this.values[this.sent % this.values.length]!
    if (stampValues) {
      value = Buffer.from(value)
      value.writeDoubleBE(dueAt, 0)
    }
    const { partition } = this
    this.sent += 1
    this.inPartition += 1
    if (this.inPartition >= this.perPartition) {
      this.inPartition = 0
      this.partition = (partition + 1) % this.queues.length
    }
    this.queues[partition]!.push(dueAt)
    return { value, partition }
  }

  private delivered(report: DeliveryReport): void {
    const { recorder, counts, workload } = this.options
    const now = performance.now()
    const failed = report.error !== null
    this.queues[report.partition]?.take(report.count, (dueAt, count) => {
      if (counts && !failed) recorder.latency(now - dueAt, count)
    })
    if (failed) {
      this.failed += report.count
      this.firstError ??= report.error
      recorder.error(report.count)
    } else if (counts) {
      recorder.add(report.count, report.count * workload.recordBytes)
    }
  }
}
