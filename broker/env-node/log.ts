/**
 * The log of what happens, one line for each event: text for people or JSON for machines. What came from outside
 * ends up in lines that operators read and tools parse, so nothing in a field or a message may start a new line or
 * reach a terminal as a control sequence: the sink escapes, not the caller.
 */
import { type Log, type LogFields } from '../env.ts'

const LEVELS = { debug: 20, info: 30, warn: 40, error: 50 } as const
export type LogLevel = keyof typeof LEVELS

export interface NodeLogOptions {
  /** What is less important is dropped. Default: info. */
  readonly level?: LogLevel | 'silent'
  /** `text` reads `time LEVEL message key=value`; `json` is one object per line with level, time, msg. Default: text. */
  readonly format?: 'text' | 'json'
  /** Takes each line with its line feed. Default: standard error. */
  readonly write?: (line: string) => void
}

/** Strings from outside are cut here: a log line is no place for a megabyte of somebody's topic name. */
const MAX_VALUE_LENGTH = 1000

export function createNodeLog(options: NodeLogOptions = {}): Log {
  const {
    level = 'info',
    format = 'text',
    write = (line: string) => void process.stderr.write(line),
  } = options
  const threshold = level === 'silent' ? Number.POSITIVE_INFINITY : LEVELS[level]
  const line = format === 'json' ? jsonLine : textLine
  const make = (inherited: LogFields): Log => {
    const at = (lineLevel: LogLevel) => {
      if (LEVELS[lineLevel] < threshold) return () => {}
      return (message: string, fields?: LogFields): void => {
        write(line(lineLevel, message, fields === undefined ? inherited : { ...inherited, ...fields }))
      }
    }
    return {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: fields => make({ ...inherited, ...fields }),
    }
  }
  return make({})
}

function textLine(level: LogLevel, message: string, fields: LogFields): string {
  let text = `${new Date().toISOString()} ${level.toUpperCase().padEnd(5)} ${escaped(message)}`
  let stack = ''
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue
    text += ` ${escaped(key)}=${textValue(value)}`
    // A stack is the one thing worth more than one line; indented, so that it cannot pass for a line of its own.
    if (value instanceof Error) stack += indentedStack(value)
  }
  return `${text}\n${stack}`
}

function textValue(value: unknown): string {
  if (typeof value === 'string') return /^[\w.:/@+-]+$/.test(value) ? cut(value) : quoted(value)
  if (value instanceof Error) return quoted(describe(value))
  if (typeof value === 'object' && value !== null) return escaped(JSON.stringify(plain(value)) ?? '')
  return String(value)
}

function quoted(text: string): string {
  return `"${escaped(text).replaceAll('"', '\\"')}"`
}

function indentedStack(error: Error): string {
  let text = ''
  for (let current: unknown = error; current instanceof Error; current = current.cause) {
    for (const frame of (current.stack ?? '').split('\n').slice(1)) text += `    ${escaped(frame.trim())}\n`
  }
  return text
}

function jsonLine(level: LogLevel, message: string, fields: LogFields): string {
  const entry: Record<string, unknown> = { level: LEVELS[level], time: Date.now(), msg: escaped(message) }
  for (const [key, value] of Object.entries(fields)) entry[escaped(key)] = plain(value)
  return `${JSON.stringify(entry)}\n`
}

/** What JSON can say: errors with their codes and causes, big integers as strings, long strings cut. */
function plain(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return escaped(value)
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Error) {
    const cause = value.cause === undefined || depth > 4 ? undefined : plain(value.cause, depth + 1)
    return { type: value.name, code: code(value), message: escaped(value.message), stack: value.stack, cause }
  }
  if (typeof value !== 'object' || value === null) return value
  if (depth > 4) return '...'
  if (ArrayBuffer.isView(value)) return `${value.byteLength} bytes`
  if (Array.isArray(value)) return value.slice(0, 100).map(item => plain(item, depth + 1))
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [escaped(key), plain(item, depth + 1)] as const),
  )
}

function describe(error: Error): string {
  const own = error.message === '' ? error.name : error.message
  return error.cause instanceof Error && !own.includes(error.cause.message)
    ? `${own}: ${describe(error.cause)}`
    : own
}

function code(error: Error): unknown {
  return 'code' in error ? error.code : undefined
}

/** Control characters, and the marks that turn the direction of writing, as escapes. */
function escaped(text: string): string {
  return cut(text).replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function cut(text: string): string {
  return text.length <= MAX_VALUE_LENGTH ? text : `${text.slice(0, MAX_VALUE_LENGTH)}...`
}
