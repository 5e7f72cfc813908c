/**
 * The load generator: sends prepared frames over raw sockets, keeps a fixed number under way, counts the answers
 * and throws their bytes away. It knows as little of the protocol as it can, so that what is measured is the other
 * end. A process of its own, told by its parent what to do; it must never decode or build a batch while measuring.
 */
import { connect, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import type { DriverJob, DriverResult, FetchJob, Latency, ProduceJob } from './driver-protocol.ts'
import { fetchRequests, produceRequests, type RequestSource } from './frames.ts'

const PREFIX_BYTES = 4
/** Enough of an answer's beginning to hold the error code of its one partition. */
const HEAD_BYTES = 256
const RECEIVE_BYTES = 512 << 10
/** A paced job looks so often whether more is due. */
const PACE_MS = 1

/** Cuts answers out of a byte stream without keeping them: only the first bytes of each are seen. */
class AnswerCounter {
  private readonly head = Buffer.alloc(HEAD_BYTES)
  private headBytes = 0
  private frameBytes = 0
  private seen = 0
  private readonly onAnswer: (head: Buffer, frameBytes: number) => void

  /** `onAnswer` gets the prefix and what follows it, up to 256 bytes, and the length of the whole with its prefix. */
  constructor(onAnswer: (head: Buffer, frameBytes: number) => void) {
    this.onAnswer = onAnswer
  }

  push(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      const available = bytes.length - at
      if (this.headBytes < HEAD_BYTES) {
        const wanted = this.frameBytes === 0 ? PREFIX_BYTES : Math.min(HEAD_BYTES, this.frameBytes)
        const take = Math.min(wanted - this.headBytes, available)
        bytes.copy(this.head, this.headBytes, at, at + take)
        this.headBytes += take
        this.seen += take
        at += take
        if (this.frameBytes === 0 && this.headBytes === PREFIX_BYTES)
          this.frameBytes = PREFIX_BYTES + this.head.readInt32BE(0)
      } else {
        const take = Math.min(this.frameBytes - this.seen, available)
        this.seen += take
        at += take
      }
      if (this.frameBytes > 0 && this.seen === this.frameBytes) {
        const frameBytes = this.frameBytes
        this.headBytes = 0
        this.frameBytes = 0
        this.seen = 0
        this.onAnswer(this.head, frameBytes)
      }
    }
  }
}

function open(
  port: number,
  onBytes: (bytes: Buffer) => void,
  onError: (error: Error) => void,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const buffer = Buffer.allocUnsafeSlow(RECEIVE_BYTES)
    const socket = connect({
      host: '127.0.0.1',
      port,
      noDelay: true,
      onread: {
        buffer,
        callback: length => {
          onBytes(buffer.subarray(0, length))
          return true
        },
      },
    })
    socket.once('connect', () => resolve(socket))
    socket.on('error', error => {
      reject(error)
      onError(error)
    })
    socket.on('close', () => onError(new Error('The server closed the connection while answers were due.')))
  })
}

/** Counts what came back, and knows when to start counting and when to stop sending. */
class Tally {
  bytes = 0
  requests = 0
  totalBytes = 0
  totalRequests = 0
  measuring = false
  sending = true
  /** Milliseconds of each request, where the job wants to know. */
  readonly latencies: number[] = []
  readonly #startedAt = performance.now()
  readonly #bytesPerMs: number
  #sentBytes = 0

  constructor(bytesPerSecond: number | undefined) {
    this.#bytesPerMs = (bytesPerSecond ?? Infinity) / 1000
  }

  /** Whether `bytes` more may be sent now; they count as sent. */
  maySend(bytes: number): boolean {
    if (!this.sending) return false
    if (this.#sentBytes > 0 && this.#sentBytes > (performance.now() - this.#startedAt) * this.#bytesPerMs)
      return false
    this.#sentBytes += bytes
    return true
  }

  add(bytes: number): void {
    this.totalBytes += bytes
    this.totalRequests += 1
    if (!this.measuring) return
    this.bytes += bytes
    this.requests += 1
  }
}

/** One connection that keeps `job.inFlight` requests under way until the tally says stop. Resolves when all are answered. */
async function drive(job: DriverJob, source: RequestSource, tally: Tally): Promise<void> {
  let socket: Socket | null = null
  let underWay = 0
  let finished = false
  let settle: { resolve: () => void; reject: (error: Error) => void } | null = null
  const end = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject }
  })
  const fail = (error: Error): void => {
    if (finished) return
    finished = true
    socket?.destroy()
    settle?.reject(error)
  }
  const bytes = job.kind === 'produce' ? job.batchBytes : job.readBytes
  const sentAt: number[] = []
  const refill = (): void => {
    if (socket === null || finished) return
    socket.cork()
    while (underWay < job.inFlight && tally.maySend(bytes)) {
      underWay += 1
      if (job.timeEach === true) sentAt.push(performance.now())
      for (const piece of source.next()) socket.write(piece)
    }
    socket.uncork()
    if (underWay === 0 && !tally.sending) {
      finished = true
      socket.destroy()
      settle?.resolve()
    }
  }
  const counter = new AnswerCounter((head, frameBytes) => {
    underWay -= 1
    const since = sentAt.shift()
    if (since !== undefined && tally.measuring) tally.latencies.push(performance.now() - since)
    const trouble = job.broker ? source.check(head, frameBytes) : null
    if (trouble !== null) return fail(new Error(trouble))
    tally.add(job.kind === 'produce' ? job.batchBytes : frameBytes)
    if (job.limitBytes !== null && tally.totalBytes >= job.limitBytes) tally.sending = false
  })
  socket = await open(
    job.port,
    bytes => {
      counter.push(bytes)
      refill()
    },
    fail,
  )
  refill()
  const pace = job.bytesPerSecond === undefined ? undefined : setInterval(refill, PACE_MS)
  return end.finally(() => clearInterval(pace))
}

function latencyOf({ latencies }: Tally): Latency | null {
  if (latencies.length === 0) return null
  const sorted = Float64Array.from(latencies).sort()
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}

function sourceFor(job: DriverJob, connection: number): RequestSource {
  const partition = (job.firstPartition + connection) % job.partitions
  switch (job.kind) {
    case 'produce':
      return produceRequests(job satisfies ProduceJob, partition)
    case 'fetch':
      return fetchRequests(job satisfies FetchJob, partition)
    default:
      return job satisfies never
  }
}

async function run(job: DriverJob): Promise<DriverResult> {
  const tally = new Tally(job.bytesPerSecond)
  const sources = Array.from({ length: job.connections }, (_, index) => sourceFor(job, index))
  let startedAt = performance.now()
  let durationMs = 0
  let loop = performance.eventLoopUtilization()
  let busyMs = 0
  const finish = (): void => {
    if (durationMs > 0) return
    durationMs = performance.now() - startedAt
    busyMs = performance.eventLoopUtilization(loop).active
    tally.measuring = false
    tally.sending = false
  }
  const begin = (): void => {
    startedAt = performance.now()
    loop = performance.eventLoopUtilization()
    tally.measuring = true
    if (job.durationMs > 0) timers.push(setTimeout(finish, job.durationMs))
  }
  const timers: NodeJS.Timeout[] = []
  if (job.warmupMs > 0) timers.push(setTimeout(begin, job.warmupMs))
  else begin()
  let error: string | null = null
  try {
    await Promise.all(sources.map(source => drive(job, source, tally)))
  } catch (caught) {
    error = caught instanceof Error ? caught.message : String(caught)
  }
  finish()
  for (const timer of timers) clearTimeout(timer)
  const { bytes, requests, totalBytes, totalRequests } = tally
  return {
    id: job.id,
    bytes,
    requests,
    durationMs,
    totalBytes,
    totalRequests,
    busyMs,
    latency: latencyOf(tally),
    error,
  }
}

process.on('message', (job: DriverJob) => {
  void run(job).then(result => process.send?.(result))
})
process.on('disconnect', () => process.exit(0))
