/**
 * The one error that the client throws, and the error of cancellation. A `KafkaError` is made for two readers: the
 * program, which looks at `code`, `retriable` and `fatal`, and the person, whose message says what happened, what it
 * means and what to do. It must never carry a secret.
 */

/** Codes that the client itself gives; every other `code` is the protocol's name of an error, as NOT_LEADER_OR_FOLLOWER. */
export type ClientErrorCode =
  /** No broker could be reached, or the connection was lost before the answer. */
  | 'CONNECTION_FAILED'
  | 'CONNECTION_CLOSED'
  /** The broker did not answer in time, or an operation ran out of its time. */
  | 'TIMEOUT'
  /** A record was not delivered within `deliveryTimeoutMs`; `cause` says what stood in the way. */
  | 'DELIVERY_TIMEOUT'
  /** What was asked cannot work with these options, or with this state of the object. */
  | 'INVALID_OPTION'
  /** The object was closed. */
  | 'CLOSED'
  /** The broker (or this version of the client) cannot do that. */
  | 'UNSUPPORTED'
  /** The broker sent bytes that make no sense. */
  | 'MALFORMED_RESPONSE'
  /** A record batch failed its checks: CRC, lengths, or a codec that is not at hand. */
  | 'CORRUPT_BATCH'
  | 'CODEC_MISSING'
  /** A serializer or deserializer threw. */
  | 'SERDE_FAILED'
  /** The log was truncated behind our position: records that were read have been lost by the cluster. */
  | 'LOG_TRUNCATION'
  /** The position lies outside the log, and the policy is to stop. */
  | 'OFFSET_OUT_OF_RANGE'
  /** Several items of one call failed; see `errors`. */
  | 'PARTIAL_FAILURE'

export interface KafkaErrorOptions {
  readonly code: ClientErrorCode | (string & {})
  readonly message: string
  /** Trying the same again later may succeed. */
  readonly retriable?: boolean
  /** The object that threw it is of no further use. */
  readonly fatal?: boolean
  /** Name of the API, as Produce. */
  readonly api?: string | undefined
  /** `host:port` of the broker, with its id where known. */
  readonly broker?: string | undefined
  readonly topic?: string | undefined
  readonly partition?: number | undefined
  readonly cause?: unknown
  /** The single failures, where one call had several. */
  readonly errors?: readonly KafkaError[]
}

export class KafkaError extends Error {
  override readonly name = 'KafkaError'
  readonly code: string
  readonly retriable: boolean
  readonly fatal: boolean
  readonly api: string | undefined
  readonly broker: string | undefined
  readonly topic: string | undefined
  readonly partition: number | undefined
  readonly errors: readonly KafkaError[]

  constructor(options: KafkaErrorOptions) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = options.code
    this.retriable = options.retriable ?? false
    this.fatal = options.fatal ?? false
    this.api = options.api
    this.broker = options.broker
    this.topic = options.topic
    this.partition = options.partition
    this.errors = options.errors ?? []
  }
}

/** Thrown when the caller's AbortSignal fired. `cause` is the signal's reason. */
export class AbortError extends Error {
  override readonly name = 'AbortError'
  readonly code = 'ABORT_ERR'

  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
  }
}
