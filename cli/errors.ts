/**
 * What the CLI says when something goes wrong, and the exit code that goes with it. Every message has three parts:
 * what happened, what it means, what to do. Errors of the client and of the system are translated here and nowhere
 * else; a stack trace is shown only when it is asked for with SLUICE_DEBUG, or for a bug.
 */

export const ExitCode = {
  OK: 0,
  /** At least one item failed. */
  FAILED: 1,
  USAGE: 2,
  /** No broker could be reached, or it refused who we are. */
  UNREACHABLE: 3,
  TIMEOUT: 124,
  INTERRUPTED: 130,
} as const
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

export interface CliErrorOptions {
  readonly exitCode?: ExitCode
  readonly what: string
  /** What follows from it; left out where it is plain. */
  readonly means?: string
  /** What to do, a line each. */
  readonly advice?: readonly string[]
  readonly cause?: unknown
}

/** Thrown by commands. Its message is `what`. */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly exitCode: ExitCode
  readonly means: string | undefined
  readonly advice: readonly string[]

  constructor(options: CliErrorOptions) {
    super(options.what, options.cause === undefined ? undefined : { cause: options.cause })
    this.exitCode = options.exitCode ?? ExitCode.FAILED
    this.means = options.means
    this.advice = options.advice ?? []
  }
}

export function usageError(what: string, ...advice: string[]): CliError {
  return new CliError({ exitCode: ExitCode.USAGE, what, advice })
}

/** The fields of a `KafkaError`, read without loading the client. */
interface KafkaErrorLike extends Error {
  readonly code: string
  readonly broker?: string
  readonly topic?: string
  readonly partition?: number
  readonly errors?: readonly KafkaErrorLike[]
}

function isKafkaError(error: unknown): error is KafkaErrorLike {
  return error instanceof Error && error.name === 'KafkaError'
}

function systemCode(error: unknown): string | null {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth += 1) {
    const code = (at as { code?: unknown }).code
    if (typeof code === 'string' && /^E[A-Z0-9]{3,}$/.test(code)) return code
  }
  return null
}

const START_ADVICE = [
  'sluice dev            a broker in memory, for trying things',
  'sluice broker start   a durable broker with its data in ./data',
  'Or name another one: --brokers HOST:PORT, or SLUICE_BROKERS=HOST:PORT.',
]

const REACH: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Nothing listens there: the broker is not running, or listens on another address or port.',
  ENOTFOUND: 'The name is not known to the resolver of this machine.',
  EAI_AGAIN: 'The resolver of this machine did not answer.',
  ETIMEDOUT: 'Packets go unanswered: a firewall, or a wrong address.',
  EHOSTUNREACH: 'There is no route to that machine.',
  ECONNRESET:
    'The broker closed the connection: it may be stopping, or it is no Kafka listener, or it expects TLS.',
}

/** `error` says why, or has a cause that does. */
export function unreachable(error: Error, brokers: string): CliError {
  const code = systemCode(error)
  return new CliError({
    exitCode: ExitCode.UNREACHABLE,
    what: `No broker can be reached at ${brokers}${code === null ? '' : ` (${code})`}.`,
    means: (code === null ? undefined : REACH[code]) ?? error.message,
    advice: START_ADVICE,
    cause: error,
  })
}

const NOT_ALLOWED = /^(SASL_|TOPIC_AUTHORIZATION|CLUSTER_AUTHORIZATION|GROUP_AUTHORIZATION|ILLEGAL_SASL)/

function fromKafkaError(error: KafkaErrorLike, brokers: string): CliError {
  const where = error.topic === undefined ? '' : partitionName(error.topic, error.partition)
  switch (error.code) {
    case 'CONNECTION_FAILED':
    case 'CONNECTION_CLOSED':
      return unreachable(error, error.broker ?? brokers)
    case 'TIMEOUT':
    case 'DELIVERY_TIMEOUT':
      if (REACH[systemCode(error) ?? ''] !== undefined) return unreachable(error, error.broker ?? brokers)
      return new CliError({
        exitCode: ExitCode.TIMEOUT,
        what: error.message,
        means: 'The broker was reached but did not finish in time; what was asked may still happen.',
        advice: ['Allow more time with --timeout 60s, or look at the log of the broker.'],
        cause: error,
      })
    case 'PARTIAL_FAILURE':
      return new CliError({
        what: error.message,
        means: (error.errors ?? [])
          .map(each => `${partitionName(each.topic ?? '?', each.partition)}: ${each.message}`)
          .join('\n'),
        cause: error,
      })
    case 'INVALID_OPTION':
      return new CliError({ exitCode: ExitCode.USAGE, what: error.message, cause: error })
    case 'UNKNOWN_TOPIC_OR_PARTITION':
    case 'UNKNOWN_TOPIC_ID':
      return new CliError({
        what: where === '' ? error.message : `There is no ${where}.`,
        advice: [
          'sluice topic list            shows what there is',
          'sluice topic create NAME     makes one',
        ],
        cause: error,
      })
    case 'GROUP_ID_NOT_FOUND':
      return new CliError({
        what: error.message,
        advice: ['sluice group list   shows what there is'],
        cause: error,
      })
    case 'NON_EMPTY_GROUP':
      return new CliError({
        what: error.message,
        advice: ['Stop them first; sluice group describe shows who they are.'],
        cause: error,
      })
    default:
      return new CliError({
        exitCode: NOT_ALLOWED.test(error.code) ? ExitCode.UNREACHABLE : ExitCode.FAILED,
        what: error.message.includes(error.code) ? error.message : `${error.message} (${error.code})`,
        cause: error,
      })
  }
}

function partitionName(topic: string, partition: number | undefined): string {
  return partition === undefined ? `topic ${topic}` : `partition ${topic}-${partition}`
}

const FILE_TROUBLE: Readonly<Record<string, string>> = {
  ENOENT: 'There is no such file or folder',
  EACCES: 'The file cannot be opened by this user',
  EISDIR: 'That is a folder, not a file',
  ENOSPC: 'The disk is full',
  EADDRINUSE: 'The port is taken by another process',
}

/** Makes a CliError of whatever was thrown; null for a bug, which deserves its stack. */
export function toCliError(error: unknown, brokers: string): CliError | null {
  if (error instanceof CliError) return error
  if (isKafkaError(error)) return fromKafkaError(error, brokers)
  if (!(error instanceof Error)) return null
  if (error.name === 'AbortError')
    return new CliError({ exitCode: ExitCode.INTERRUPTED, what: 'Interrupted.', cause: error })
  if ('oclif' in error || error.constructor.name.endsWith('CLIError')) {
    return new CliError({
      exitCode: ExitCode.USAGE,
      what: plainMessage(error.message),
      advice: ['See --help.'],
      cause: error,
    })
  }
  const { code, path } = error as { code?: unknown; path?: unknown }
  const trouble = typeof code === 'string' ? FILE_TROUBLE[code] : undefined
  if (trouble === undefined) return null
  return new CliError({
    what: `${trouble}${typeof path === 'string' ? `: ${path}` : ''} (${String(code)}).`,
    cause: error,
  })
}

/** oclif adds a pointer to its help to every message; ours says it once. */
function plainMessage(message: string): string {
  return message
    .replace(/\n?See more help with --help$/, '')
    .replace(/\n\nNote: [\s\S]*$/, '')
    .trim()
}

/** The text for standard error, with a line break at its end. */
export function renderError(error: CliError, paint: (text: string) => string): string {
  const lines = [`${paint('error:')} ${error.message}`]
  if (error.means !== undefined) lines.push(...error.means.split('\n').map(line => `  ${line}`))
  if (error.advice.length > 0) lines.push('', ...error.advice.map(line => `  ${line}`))
  if (process.env['SLUICE_DEBUG'] !== undefined && error.cause instanceof Error)
    lines.push('', error.cause.stack ?? '')
  return `${lines.join('\n')}\n`
}
