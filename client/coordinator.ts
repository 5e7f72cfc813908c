/**
 * Finds the broker that coordinates a group (FindCoordinator), remembers it until it is contradicted, and sends
 * requests there. Used by consumers and admins alike.
 */
import { type Cluster, type Lane } from './cluster.ts'
import { type Connection } from './connection.ts'
import { KafkaError, protocolError } from './errors.ts'
import { API } from './protocol/apis.ts'
import { ErrorCode } from './protocol/errors.ts'

const GROUP_KEY = 0

/** Answers after which the coordinator has to be looked for anew. */
const MOVED: ReadonlySet<string> = new Set([
  'NOT_COORDINATOR',
  'COORDINATOR_NOT_AVAILABLE',
  'CONNECTION_FAILED',
  'CONNECTION_CLOSED',
  'TIMEOUT',
  'BROKER_NOT_AVAILABLE',
])

export class Coordinator {
  readonly groupId: string
  readonly #cluster: Cluster
  #brokerId: number | null = null
  #finding: Promise<number> | null = null

  constructor(cluster: Cluster, groupId: string) {
    this.#cluster = cluster
    this.groupId = groupId
  }

  get brokerId(): number | null {
    return this.#brokerId
  }

  /** One attempt. Rejects with KafkaError. */
  async connection(lane: Lane): Promise<Connection> {
    if (this.#brokerId !== null && !this.#cluster.metadata.brokers.has(this.#brokerId)) this.#brokerId = null
    this.#brokerId ??= await this.#find()
    return this.#cluster.connection(this.#brokerId, lane)
  }

  /** It was contradicted: the next request looks again. */
  forget(): void {
    this.#brokerId = null
  }

  #find(): Promise<number> {
    this.#finding ??= this.#ask().finally(() => {
      this.#finding = null
    })
    return this.#finding
  }

  async #ask(): Promise<number> {
    const connection = await this.#cluster.route('any', 'control')
    const response = await connection.request(
      API.FindCoordinator,
      connection.version(API.FindCoordinator) >= 4
        ? { keyType: GROUP_KEY, coordinatorKeys: [this.groupId] }
        : { keyType: GROUP_KEY, key: this.groupId },
      { timeoutMs: this.#cluster.config.requestTimeoutMs },
    )
    const found = response.coordinators.find(({ key }) => key === this.groupId) ?? response
    if (found.errorCode !== ErrorCode.NONE) {
      const { errorCode, errorMessage: detail } = found
      throw protocolError(errorCode, { api: 'FindCoordinator', broker: connection.label, detail })
    }
    const { nodeId: id, host, port } = found
    const known = this.#cluster.metadata.brokers.get(id)
    if (known?.host !== host || known.port !== port) {
      this.#cluster.metadata.learnBroker({ id, host, port, rack: known?.rack ?? null })
    }
    return id
  }

  /** `attempt` at the coordinator until it succeeds, fails for good, or time is up. */
  retrying<T>(
    what: string,
    lane: Lane,
    options: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number | undefined },
    attempt: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    return this.#cluster.retrying(what, options, () => this.once(lane, attempt))
  }

  /** One attempt; where it was at the wrong broker, the next one looks for the right one first. */
  async once<T>(lane: Lane, attempt: (connection: Connection) => Promise<T>): Promise<T> {
    try {
      return await attempt(await this.connection(lane))
    } catch (error) {
      if (error instanceof KafkaError && MOVED.has(error.code)) this.forget()
      throw error
    }
  }
}
