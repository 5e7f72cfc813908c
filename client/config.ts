/**
 * The options of `Kafka`, their defaults and their checks. Options are checked once, when an object is made, so that
 * a mistake is reported where it was written and not in the middle of traffic.
 */
import { type BrokerAddress, type ClientEnv, type TlsOptions } from './env.ts'
import { KafkaError } from './errors.ts'

/** `host:port`; the port may be left out (9092). Several may stand in one string, separated by commas. */
export type BrokerList = string | readonly string[]

export interface RetryOptions {
  /** Attempts after the first one, within the time allowed. Default: no limit but the time. */
  readonly maxRetries?: number
  /** First pause; doubles with every attempt. Default 100. */
  readonly initialBackoffMs?: number
  /** Longest pause. Default 1,000. */
  readonly maxBackoffMs?: number
  /** Share of a pause that is left to chance, 0 .. 1. Default 0.2. */
  readonly jitter?: number
}

/** Authentication. Declared so that configurations can be written; not implemented yet: `Kafka` refuses it. */
export type SaslOptions =
  | { readonly mechanism: 'plain'; readonly username: string; readonly password: string }
  | {
      readonly mechanism: 'scram-sha-256' | 'scram-sha-512'
      readonly username: string
      readonly password: string
    }

export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

export interface KafkaOptions {
  /**
   * Brokers to start from; the rest of the cluster is found through them. A function is asked whenever it is needed.
   */
  readonly brokers: BrokerList | (() => BrokerList | Promise<BrokerList>)
  /** Shown in the broker's logs and quotas. Default `sluice`. */
  readonly clientId?: string
  readonly ssl?: boolean | TlsOptions
  readonly sasl?: SaslOptions
  readonly retry?: RetryOptions
  /** How long a broker may take for one answer. Default 30,000. */
  readonly requestTimeoutMs?: number
  /** How long opening a connection may take, with TLS and ApiVersions. Default 10,000. */
  readonly connectionTimeoutMs?: number
  /** How long one operation may take with all its retries. Default 60,000. */
  readonly operationTimeoutMs?: number
  /** Age at which what is known of the cluster is asked again. Default 300,000. */
  readonly metadataMaxAgeMs?: number
  /** Where warnings and errors go. Default: nowhere but the errors thrown and the events. */
  readonly logger?: Logger
  /** The outside world; for simulation. Default: Node's sockets, clock and timers. */
  readonly env?: ClientEnv
}

export interface ResolvedRetry {
  readonly maxRetries: number
  readonly initialBackoffMs: number
  readonly maxBackoffMs: number
  readonly jitter: number
}

/** `KafkaOptions` after checks and defaults. */
export interface ClientConfig {
  readonly bootstrap: () => Promise<BrokerAddress[]>
  readonly clientId: string
  readonly tls: TlsOptions | null
  readonly retry: ResolvedRetry
  readonly requestTimeoutMs: number
  readonly connectionTimeoutMs: number
  readonly operationTimeoutMs: number
  readonly metadataMaxAgeMs: number
  readonly logger: Logger
}

/** What the client says of itself in ApiVersions (KIP-511). */
export const CLIENT_SOFTWARE = { softwareName: 'sluice', softwareVersion: '0.1.0' } as const

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

const DEFAULT_PORT = 9092

/** Throws KafkaError INVALID_OPTION or UNSUPPORTED. */
export function resolveConfig(options: KafkaOptions): ClientConfig {
  const { brokers } = options
  if (options.sasl !== undefined) {
    throw new KafkaError({
      code: 'UNSUPPORTED',
      message:
        `SASL (${options.sasl.mechanism}) is not implemented yet: the client would have to send requests without ` +
        'authentication, so it refuses. Use a listener without SASL for now.',
    })
  }
  // A fixed list is checked at once; what a function gives is checked whenever it is asked.
  if (typeof brokers !== 'function') parseBrokerList(brokers)
  const ssl = options.ssl ?? false
  return {
    bootstrap: async () => parseBrokerList(typeof brokers === 'function' ? await brokers() : brokers),
    clientId: options.clientId ?? 'sluice',
    tls: ssl === false ? null : ssl === true ? {} : ssl,
    retry: {
      maxRetries: atLeast('retry.maxRetries', options.retry?.maxRetries ?? Number.POSITIVE_INFINITY, 0),
      initialBackoffMs: atLeast('retry.initialBackoffMs', options.retry?.initialBackoffMs ?? 100, 0),
      maxBackoffMs: atLeast('retry.maxBackoffMs', options.retry?.maxBackoffMs ?? 1000, 0),
      jitter: within('retry.jitter', options.retry?.jitter ?? 0.2, 0, 1),
    },
    requestTimeoutMs: atLeast('requestTimeoutMs', options.requestTimeoutMs ?? 30_000, 1),
    connectionTimeoutMs: atLeast('connectionTimeoutMs', options.connectionTimeoutMs ?? 10_000, 1),
    operationTimeoutMs: atLeast('operationTimeoutMs', options.operationTimeoutMs ?? 60_000, 1),
    metadataMaxAgeMs: atLeast('metadataMaxAgeMs', options.metadataMaxAgeMs ?? 300_000, 1),
    logger: options.logger ?? silent,
  }
}

/** `host:port[,host:port]`, IPv6 as `[::1]:9092`. Throws KafkaError INVALID_OPTION. */
export function parseBrokerList(list: BrokerList): BrokerAddress[] {
  const items = (typeof list === 'string' ? [list] : list).flatMap(item => item.split(','))
  const addresses = items
    .map(item => item.trim())
    .filter(item => item !== '')
    .map(parseAddress)
  if (addresses.length === 0) {
    throw invalidOption('brokers is empty: give at least one broker, as "localhost:9092"')
  }
  return addresses
}

function parseAddress(text: string): BrokerAddress {
  const withoutScheme = text.replace(/^[a-z_]+:\/\//i, '')
  const match = /^(?:\[([0-9a-f:.%]+)\]|([^:\s/]+))(?::(\d{1,5}))?$/i.exec(withoutScheme)
  const host = match?.[1] ?? match?.[2]
  const port = match?.[3] === undefined ? DEFAULT_PORT : Number(match[3])
  if (host === undefined || port < 1 || port > 65_535) {
    throw invalidOption(
      `brokers holds ${JSON.stringify(text)}, which is no address: write "host:port", as "localhost:9092"`,
    )
  }
  return { host, port }
}

export function invalidOption(message: string): KafkaError {
  return new KafkaError({ code: 'INVALID_OPTION', message })
}

export function atLeast(name: string, value: number, minimum: number): number {
  return within(name, value, minimum, Number.POSITIVE_INFINITY)
}

export function within(name: string, value: number, minimum: number, maximum: number): number {
  if (typeof value !== 'number' || Number.isNaN(value) || value < minimum || value > maximum) {
    const range = maximum === Number.POSITIVE_INFINITY ? `at least ${minimum}` : `${minimum} .. ${maximum}`
    throw invalidOption(`${name} is ${String(value)}; it must be a number, ${range}`)
  }
  return value
}
