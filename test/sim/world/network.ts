/**
 * The network between machines: streams of bytes as TCP gives them, over links that are slow, late, cut in one
 * direction or both, and heal. Bytes are neither lost nor exchanged on a stream that lives; a stream ends by being
 * closed or reset, or stays half-open because one of its machines has forgotten it.
 *
 * What is written is copied when it leaves its process and no sooner, so memory that is used again too early shows.
 */

import { type Address, NetworkError } from '../../../broker/env.ts'
import { type SeededRandom } from '../../../broker/env-memory/random.ts'
import { assert } from '../../../client/protocol/assert.ts'
import { type SimProcess } from './process.ts'
import { KIND, type Scheduler } from './scheduler.ts'
import { Endpoint } from './socket.ts'

export interface LinkPace {
  /** One way, at least. */
  readonly delayMs: number
  readonly jitterMs: number
  readonly bytesPerMs: number
}

const FIRST_EPHEMERAL_PORT = 40_000
/** When a SYN that was not answered is sent again, in milliseconds after the first. */
const SYN_RETRIES_MS = [0, 1000, 3000, 7000, 15_000]

interface Listening {
  readonly process: SimProcess
  readonly accept: (endpoint: Endpoint) => void
}

/** A connection that is being opened. */
interface Attempt {
  readonly process: SimProcess
  readonly to: Address
  settled: boolean
  readonly settle: (outcome: Endpoint | Error) => void
}

export class SimNetwork {
  readonly scheduler: Scheduler
  readonly random: SeededRandom
  /** Bytes on their way in one direction of a stream, at most. */
  readonly windowBytes: number
  /** Whether what arrives is handed over in pieces cut by chance. */
  readonly splits: boolean
  readonly endpoints = new Set<Endpoint>()
  readonly #pace: LinkPace
  readonly #listeners = new Map<string, Listening>()
  /** By `from>to`: how often a link is cut; it heals when the last cut has. */
  readonly #cut = new Map<string, number>()
  /** By `from>to`: how many times slower than usual. */
  readonly #slow = new Map<string, number>()
  readonly #down = new Set<string>()
  readonly #narrow = new Map<string, number>()
  #nextPort = FIRST_EPHEMERAL_PORT

  constructor(options: {
    scheduler: Scheduler
    random: SeededRandom
    pace: LinkPace
    windowBytes: number
    splits: boolean
  }) {
    this.scheduler = options.scheduler
    this.random = options.random
    this.#pace = options.pace
    this.windowBytes = options.windowBytes
    this.splits = options.splits
  }

  // ------------------------------------------------------------------------------------------- processes

  listen(process: SimProcess, port: number, accept: (endpoint: Endpoint) => void): Address {
    const address = { host: process.host, port: port === 0 ? this.#nextPort++ : port }
    const key = `${address.host}:${address.port}`
    if (this.#listeners.get(key)?.process.isAlive === true)
      throw new NetworkError('EADDRINUSE', `port ${address.port} is taken`)
    this.#listeners.set(key, { process, accept })
    return address
  }

  unlisten(address: Address): void {
    this.#listeners.delete(`${address.host}:${address.port}`)
  }

  connect(process: SimProcess, to: Address, timeoutMs: number): Promise<Endpoint> {
    const { scheduler } = this
    const startMs = scheduler.nowMs
    return new Promise((resolve, reject) => {
      const attempt: Attempt = {
        process,
        to,
        settled: false,
        settle: outcome => {
          if (attempt.settled) return
          attempt.settled = true
          scheduler.cancel(deadline)
          process.enter(() => (outcome instanceof Error ? reject(outcome) : resolve(outcome)))
        },
      }
      const deadline = scheduler.in(timeoutMs, KIND.network, () =>
        attempt.settle(new NetworkError('ETIMEDOUT', `${to.host}:${to.port} did not answer`)),
      )
      const syn = (index: number): void => {
        const afterMs = SYN_RETRIES_MS[index]
        if (afterMs === undefined || afterMs >= timeoutMs) return
        scheduler.at(startMs + afterMs + this.delayMs(process.host, to.host, 60), KIND.network, () => {
          if (attempt.settled || !process.isAlive) return
          const arrives = this.passes(process.host, to.host) && !this.isDown(to.host)
          if (!arrives || !this.#accept(attempt)) syn(index + 1)
        })
      }
      syn(0)
    })
  }

  /** False where the answer does not come through: then the other side has a connection of which this one knows not. */
  #accept(attempt: Attempt): boolean {
    const { process, to } = attempt
    const answerPasses = this.passes(to.host, process.host)
    const answer = (outcome: Endpoint | Error): void => {
      if (!answerPasses) return
      const delayMs = this.delayMs(to.host, process.host, 60)
      this.scheduler.in(delayMs, KIND.network, () => attempt.settle(outcome))
    }
    const listening = this.#listeners.get(`${to.host}:${to.port}`)
    if (listening === undefined || !listening.process.isAlive) {
      answer(new NetworkError('ECONNREFUSED', `nobody listens on ${to.host}:${to.port}`))
      return answerPasses
    }
    // A paused process has a backlog: its kernel accepts.
    const local = { host: process.host, port: this.#nextPort++ }
    const client = new Endpoint(this, process, local, to)
    const server = new Endpoint(this, listening.process, to, local)
    client.join(server)
    server.join(client)
    this.endpoints.add(client).add(server)
    listening.process.enter(() => listening.accept(server))
    if (answerPasses) answer(client)
    else client.vanish()
    return answerPasses
  }

  /** The kernel closes what the process had open. */
  processEnded(process: SimProcess): void {
    for (const endpoint of this.endpoints) if (endpoint.process === process) endpoint.abandon()
    for (const [key, listening] of this.#listeners)
      if (listening.process === process) this.#listeners.delete(key)
  }

  // --------------------------------------------------------------------------------------------- machines

  /** The machine is without power: it says nothing, and will remember nothing. */
  hostDown(host: string): void {
    this.#down.add(host)
    for (const endpoint of this.endpoints) if (endpoint.local.host === host) endpoint.vanish()
    for (const key of this.#listeners.keys()) if (key.startsWith(`${host}:`)) this.#listeners.delete(key)
  }

  hostUp(host: string): void {
    this.#down.delete(host)
    this.#wake()
  }

  isDown(host: string): boolean {
    return this.#down.has(host)
  }

  // ----------------------------------------------------------------------------------------------- links

  /** Until the returned function is called, or `heal`. */
  cut(from: string, to: string): () => void {
    const link = `${from}>${to}`
    this.#cut.set(link, (this.#cut.get(link) ?? 0) + 1)
    return () => {
      const cuts = this.#cut.get(link) ?? 0
      if (cuts > 1) this.#cut.set(link, cuts - 1)
      else if (this.#cut.delete(link)) this.#wake()
    }
  }

  /** Until the returned function is called, or `heal`. */
  slow(from: string, to: string, factor: number): () => void {
    const link = `${from}>${to}`
    this.#slow.set(link, factor)
    return () => {
      if (this.#slow.get(link) === factor) this.#slow.delete(link)
    }
  }

  /** What leaves this host has so many bytes on their way in a stream at most, from now on. */
  narrow(host: string, windowBytes: number): void {
    this.#narrow.set(host, windowBytes)
  }

  windowOf(host: string): number {
    return Math.min(this.windowBytes, this.#narrow.get(host) ?? this.windowBytes)
  }

  heal(): void {
    this.#cut.clear()
    this.#slow.clear()
    this.#wake()
  }

  passes(from: string, to: string): boolean {
    return !this.#cut.has(`${from}>${to}`)
  }

  delayMs(from: string, to: string, bytes: number): number {
    const { delayMs, jitterMs, bytesPerMs } = this.#pace
    const factor = this.#slow.get(`${from}>${to}`) ?? 1
    return factor * (delayMs + jitterMs * this.random.float() ** 3 + bytes / bytesPerMs)
  }

  // --------------------------------------------------------------------------------------------- streams

  /** Live streams, one endpoint of each. */
  streams(): Endpoint[] {
    const streams: Endpoint[] = []
    for (const endpoint of this.endpoints) if (endpoint.isOpen && endpoint.peer.isOpen) streams.push(endpoint)
    return streams
  }

  forget(endpoint: Endpoint): void {
    assert(!endpoint.isOpen, 'an open endpoint is remembered')
    this.endpoints.delete(endpoint)
  }

  #wake(): void {
    for (const endpoint of this.endpoints) endpoint.retransmit()
  }
}
