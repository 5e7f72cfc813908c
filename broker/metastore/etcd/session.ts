/**
 * The connection to one member of etcd, from the first question to the last answer. Once it is retired it takes no new
 * calls, and closes when those under way have ended; streams are told at once, to move elsewhere. It never repeats
 * a call.
 */
import { type RpcChannel, RpcError, type RpcReceiver, type RpcStream } from '../../env.ts'
import { loginFailed } from './errors.ts'
import { authenticateRequest, METHODS, readAuthenticate, readStatus, type Status } from './messages.ts'
import { type Endpoint, type Settings } from './options.ts'

export class Session {
  readonly endpoint: Endpoint
  readonly #settings: Settings
  readonly #channel: RpcChannel
  readonly #retired = new Set<() => void>()
  #token: string | null = null
  #renewal: Promise<void> | null = null
  #underWay = 0
  #isRetired = false
  /** Whether the version is one without known, serious bugs; set when the status is known. */
  isSound = false

  constructor(settings: Settings, endpoint: Endpoint) {
    this.#settings = settings
    this.endpoint = endpoint
    this.#channel = settings.rpc.open(endpoint.address, settings.tls)
  }

  /** False after a call to it is sure to need a new connection. */
  get isUsable(): boolean {
    return !this.#isRetired && this.#channel.isConnected
  }

  /** Logs in where that is asked for, and learns who is there. Rejects with an RpcError or MetaStoreError. */
  async open(timeoutMs: number): Promise<Status> {
    if (this.#settings.credentials !== null) await this.renewToken(timeoutMs)
    return readStatus(await this.call(METHODS.status, new Uint8Array(), timeoutMs))
  }

  async call(method: string, request: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (this.#isRetired) throw new RpcError('CANCELLED', 'the connection was given up')
    this.#underWay++
    try {
      return await this.#channel.call(method, request, this.#metadata(), timeoutMs)
    } finally {
      this.#underWay--
      if (this.#isRetired) this.#closeWhenIdle()
    }
  }

  stream(method: string, receiver: RpcReceiver): RpcStream {
    return this.#channel.stream(method, this.#metadata(), receiver)
  }

  /** Logs in anew; all who need it share one attempt. */
  renewToken(timeoutMs: number): Promise<void> {
    this.#renewal ??= this.#renewToken(timeoutMs).finally(() => {
      this.#renewal = null
    })
    return this.#renewal
  }

  /** Calls `listener` once, when this session is retired; returns how to take that back. */
  onRetired(listener: () => void): () => void {
    this.#retired.add(listener)
    return () => this.#retired.delete(listener)
  }

  retire(): void {
    if (this.#isRetired) return
    this.#isRetired = true
    const listeners = Array.from(this.#retired)
    this.#retired.clear()
    for (const listener of listeners) listener()
    this.#closeWhenIdle()
  }

  #closeWhenIdle(): void {
    if (this.#underWay === 0) this.#channel.close()
  }

  async #renewToken(timeoutMs: number): Promise<void> {
    const { credentials, env } = this.#settings
    if (credentials === null) throw loginFailed('etcd asks for a user, and none is configured')
    this.#token = null
    try {
      const request = authenticateRequest(credentials.user, credentials.password).finish()
      this.#token = readAuthenticate(await this.call(METHODS.authenticate, request, timeoutMs))
    } catch (error) {
      const message = error instanceof RpcError ? error.message : ''
      if (/authentication is not enabled/.test(message)) {
        env.log.warn(
          'a user for etcd is configured, but etcd has no authentication enabled: anybody who reaches it can change ' +
            'the metadata of this cluster',
          { endpoint: this.endpoint.url },
        )
        return
      }
      if (/authentication failed|user name not found/.test(message)) throw loginFailed(error)
      throw error
    }
  }

  /** With `hasleader` a member that is cut off from the majority says so, where it would keep us waiting otherwise. */
  #metadata(): Record<string, string> {
    return this.#token === null ? { hasleader: 'true' } : { hasleader: 'true', token: this.#token }
  }
}
