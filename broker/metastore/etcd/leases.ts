/**
 * Renews leases: one stream for all, on which each question is answered by lease. A lease that is gone is told at
 * once; silence is taken for a member that is gone, and another one is asked, because renewing twice does no harm.
 */
import { type RpcStream } from '../../env.ts'
import { type LeaseId } from '../metastore.ts'
import { leaseNotFound } from '../rules.ts'
import { type EtcdConnection } from './connection.ts'
import { judge, reasonOf, unavailable } from './errors.ts'
import { leaseRequest, METHODS, readLeaseKeepAlive } from './messages.ts'
import { type Settings } from './options.ts'
import { ProtobufError } from './protobuf.ts'
import { type Session } from './session.ts'

/** A renewal is repeated within the time for a request, elsewhere if need be. */
const ATTEMPTS = 3

export class LeaseRenewals {
  readonly #settings: Settings
  readonly #connection: EtcdConnection
  #stream: RenewalStream | null = null

  constructor(settings: Settings, connection: EtcdConnection) {
    this.#settings = settings
    this.#connection = connection
  }

  /** Resolves to the time to live, in ms; rejects with LEASE_NOT_FOUND, UNAVAILABLE, ACCESS_DENIED or CLOSED. */
  async renew(lease: LeaseId): Promise<number> {
    const { requestTimeoutMs, env } = this.#settings
    const deadlineMs = env.clock.monotonicMs() + requestTimeoutMs
    let hasRenewedToken = false
    for (let attempt = 1; ; attempt++) {
      const session = await this.#connection.session(deadlineMs)
      const leftMs = Math.max(1, deadlineMs - env.clock.monotonicMs())
      try {
        const ttlMs = await this.#streamOf(session).ask(lease, Math.min(leftMs, requestTimeoutMs / ATTEMPTS))
        if (ttlMs <= 0) throw leaseNotFound(lease)
        return ttlMs
      } catch (error) {
        if (error instanceof StreamOver) {
          const failure = error.cause === null ? null : judge(error.cause)
          if (failure?.kind === 'refused') throw failure.error
          if (failure?.kind === 'token' && !hasRenewedToken) {
            hasRenewedToken = true
            await session.renewToken(leftMs).catch(() => this.#connection.suspect(session))
            continue
          }
          this.#connection.suspect(session)
          if (env.clock.monotonicMs() >= deadlineMs) throw unavailable(error.message, error.cause)
          await this.#connection.pause(attempt)
          continue
        }
        throw error
      }
    }
  }

  close(): void {
    this.#stream?.end(null, 'the store is being closed')
  }

  #streamOf(session: Session): RenewalStream {
    if (this.#stream === null || !this.#stream.isOn(session)) {
      this.#stream?.end(null, 'the connection was given up')
      this.#stream = new RenewalStream(this.#settings, session)
    }
    return this.#stream
  }
}

/** The stream has ended, or does not answer. */
class StreamOver extends Error {
  override readonly name = 'StreamOver'
}

interface Asking {
  readonly resolve: (ttlMs: number) => void
  readonly reject: (error: StreamOver) => void
}

class RenewalStream {
  readonly #settings: Settings
  readonly #session: Session
  readonly #stream: RpcStream
  readonly #forget: () => void
  /** Of each lease in the order in which it was asked for, which is that of the answers. */
  readonly #asking = new Map<LeaseId, Asking[]>()
  #isOver = false

  constructor(settings: Settings, session: Session) {
    this.#settings = settings
    this.#session = session
    this.#stream = session.stream(METHODS.leaseKeepAlive, {
      received: message => this.#received(message),
      ended: error => this.end(error, error === null ? 'etcd has ended the stream' : reasonOf(error)),
    })
    this.#forget = session.onRetired(() => this.end(null, 'the connection was given up'))
  }

  isOn(session: Session): boolean {
    return this.#session === session && !this.#isOver
  }

  ask(lease: LeaseId, timeoutMs: number): Promise<number> {
    const { timers } = this.#settings.env
    return new Promise<number>((resolve, reject) => {
      const timer = timers.set(timeoutMs, () => this.end(null, 'a renewal was not answered'))
      const asking: Asking = {
        resolve: ttlMs => {
          timers.clear(timer)
          resolve(ttlMs)
        },
        reject: error => {
          timers.clear(timer)
          reject(error)
        },
      }
      const others = this.#asking.get(lease)
      if (others === undefined) this.#asking.set(lease, [asking])
      else others.push(asking)
      this.#stream.send(leaseRequest(lease).finish())
    })
  }

  /** Everybody who asks is told that no answer will come; `cause` is etcd's complaint, where there is one. */
  end(cause: Error | null, reason: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#stream.cancel()
    this.#forget()
    const over = new StreamOver(reason, { cause })
    for (const asking of this.#asking.values()) for (const { reject } of asking) reject(over)
    this.#asking.clear()
  }

  #received(message: Uint8Array): void {
    if (this.#isOver) return
    try {
      const { id, ttlMs } = readLeaseKeepAlive(message)
      // To the first alone: whoever asked later counts his lease from later on, and this answer says nothing of that.
      const asking = this.#asking.get(id)
      asking?.shift()?.resolve(ttlMs)
      if (asking?.length === 0) this.#asking.delete(id)
    } catch (error) {
      if (!(error instanceof ProtobufError)) throw error
      this.end(error, reasonOf(error))
    }
  }
}
