/**
 * The one error that the client throws, and the error of cancellation. A `KafkaError` is made for two readers: the
 * program, which looks at `code`, `retriable` and `fatal`, and the person, whose message says what happened, what it
 * means and what to do. It must never carry a secret.
 */
import { ErrorCode, errorMessage, errorName, isRetriable } from './protocol/errors.ts'

/**
 * Codes that the client itself gives; every other `code` is the protocol's name of an error, as
 * NOT_LEADER_OR_FOLLOWER.
 */
export type ClientErrorCode =
  /** No broker could be reached, or the connection was lost before the answer. */
  | 'CONNECTION_FAILED'
  | 'CONNECTION_CLOSED'
  /** The broker did not answer in time, or an operation ran out of its time. */
  | 'TIMEOUT'
  /**
   * A record was not delivered within `deliveryTimeoutMs`, or was given up together with such a one; `cause` says what
   * stood in the way.
   */
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
  /** The coordinator of the group was not heard for longer than the session timeout. */
  | 'SESSION_LOST'
  /** Offsets were not committed: their partitions, or the membership, have passed to others. */
  | 'COMMIT_FAILED'
  /** The group has committed no offset for a partition, and was told to start from nowhere else. */
  | 'NO_COMMITTED_OFFSET'
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
  // Declared only: what is not known is no property, and does not clutter the error where it is printed.
  declare readonly api: string | undefined
  declare readonly broker: string | undefined
  declare readonly topic: string | undefined
  declare readonly partition: number | undefined
  constructor(options: KafkaErrorOptions) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = options.code
    this.retriable = options.retriable ?? false
    this.fatal = options.fatal ?? false
    if (options.api !== undefined) this.api = options.api
    if (options.broker !== undefined) this.broker = options.broker
    if (options.topic !== undefined) this.topic = options.topic
    if (options.partition !== undefined) this.partition = options.partition
    const { errors = [] } = options
    if (errors.length > 0) Object.defineProperty(this, 'errors', { value: errors, enumerable: true })
  }

  /** The single failures of a PARTIAL_FAILURE; else empty. */
  get errors(): readonly KafkaError[] {
    return []
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

export interface ErrorContext {
  readonly api?: string | undefined
  readonly broker?: string | undefined
  readonly topic?: string | undefined
  readonly partition?: number | undefined
  /** The broker's own words. */
  readonly detail?: string | null | undefined
}

/** The error for a code of the protocol. */
export function protocolError(code: number, context: ErrorContext): KafkaError {
  const { api, broker, topic, partition, detail } = context
  const name = errorName(code)
  const what =
    topic === undefined ? '' : partition === undefined ? ` for topic ${topic}` : ` for ${topic}-${partition}`
  const who = broker === undefined ? 'the broker' : `broker ${broker}`
  const words = detail === null || detail === undefined || detail === '' ? '' : ` The broker says: ${detail}`
  return new KafkaError({
    code: name,
    message: `${api ?? 'The request'}${what} failed at ${who} with ${name}: ${errorMessage(code)}${words}`,
    retriable: isRetriable(code),
    fatal: FATAL_CODES.has(code),
    api,
    broker,
    topic,
    partition,
  })
}

/** After these nothing that the same object sends will be accepted. */
const FATAL_CODES: ReadonlySet<number> = new Set([
  ErrorCode.SASL_AUTHENTICATION_FAILED,
  ErrorCode.CLUSTER_AUTHORIZATION_FAILED,
  ErrorCode.PRODUCER_FENCED,
  ErrorCode.UNSUPPORTED_SASL_MECHANISM,
])

/** The failures of one call as one error: itself where it is one, PARTIAL_FAILURE where there are several. */
export function combineErrors(what: string, errors: readonly KafkaError[], total: number): KafkaError {
  const [first] = errors
  if (first !== undefined && errors.length === 1) return first
  return new KafkaError({
    code: 'PARTIAL_FAILURE',
    message:
      `${what}: ${errors.length} of ${total} failed; what succeeded stays done. ` +
      errors
        .slice(0, 3)
        .map(error => error.message)
        .join(' | ') +
      (errors.length > 3 ? ` | and ${errors.length - 3} more, see errors` : ''),
    retriable: errors.every(error => error.retriable),
    api: first?.api,
    errors,
  })
}

/** Whatever was thrown, as a KafkaError or AbortError. */
export function toKafkaError(error: unknown, code: ClientErrorCode, message: string): KafkaError {
  if (error instanceof KafkaError) return error
  return new KafkaError({ code, message, cause: error })
}
