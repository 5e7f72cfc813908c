/**
 * What one config is: its name, its type, its default, what values it takes and what it does. The tables of
 * configs are made of these, and every way in (file, environment, flag, admin request) parses through them, so
 * a value is checked by the same rule wherever it comes from. Nothing here knows any one config.
 */

/** The types that Kafka's admin API tells; the numbers are those of DescribeConfigs. */
export const CONFIG_TYPE = {
  boolean: 1,
  string: 2,
  int: 3,
  short: 4,
  long: 5,
  double: 6,
  list: 7,
  password: 9,
} as const
export type ConfigType = keyof typeof CONFIG_TYPE

/** A value that cannot be, or a name that is not known. The message is written for the person who set it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code = 'INVALID_CONFIG'
  /** The name that was set. */
  readonly key: string

  constructor(key: string, message: string) {
    super(message)
    this.key = key
  }
}

/**
 * When a change of a broker config takes effect: `read-only` at the next start, `cluster-wide` at once, set for one
 * broker or for all of them.
 */
export type ConfigUpdate = 'read-only' | 'cluster-wide'

export interface ConfigDefinition<T = unknown> {
  readonly name: string
  readonly type: ConfigType
  /** As it would be written in a file; null means that it is unset. */
  readonly defaultText: string | null
  readonly update: ConfigUpdate
  readonly doc: string
  /** Throws ConfigError. */
  parse(name: string, text: string): T
}

interface Common {
  readonly doc: string
  readonly update?: ConfigUpdate
}

interface NumberOptions extends Common {
  readonly default: number | bigint
  readonly min?: number
  readonly max?: number
}

type Described<T> = Omit<ConfigDefinition<T>, 'name'>

const LONG_MAX = 2n ** 63n - 1n
const RANGE = {
  short: [-(2n ** 15n), 2n ** 15n - 1n],
  int: [-(2n ** 31n), 2n ** 31n - 1n],
  long: [-(2n ** 63n), LONG_MAX],
} as const

/**
 * Kafka's "never": the largest int64. As a number it is the largest safe integer, which no clock and no offset
 * reaches.
 */
export const NEVER = LONG_MAX

function invalid(name: string, text: string, why: string): ConfigError {
  return new ConfigError(name, `Invalid value ${text} for configuration ${name}: ${why}`)
}

function integer(type: 'short' | 'int' | 'long', options: NumberOptions): Described<number> {
  const [low, high] = RANGE[type]
  return {
    type,
    defaultText: String(options.default),
    update: options.update ?? 'read-only',
    doc: options.doc,
    parse(name, text) {
      const trimmed = text.trim()
      if (!/^[+-]?\d{1,20}$/.test(trimmed))
        throw invalid(name, text, `Not a number of type ${type.toUpperCase()}`)
      const exact = BigInt(trimmed)
      if (exact < low || exact > high) throw invalid(name, text, `Not a number of type ${type.toUpperCase()}`)
      const safe = BigInt(Number.MAX_SAFE_INTEGER)
      const value = Number(exact > safe ? safe : exact < -safe ? -safe : exact)
      if (options.min !== undefined && value < options.min) {
        throw invalid(name, text, `Value must be at least ${options.min}`)
      }
      if (options.max !== undefined && value > options.max) {
        throw invalid(name, text, `Value must be no more than ${options.max}`)
      }
      return value
    },
  }
}

export const short = (options: NumberOptions): Described<number> => integer('short', options)
export const int = (options: NumberOptions): Described<number> => integer('int', options)
/** A value beyond 2^53 is kept as 2^53-1; the text stays as it was written. */
export const long = (options: NumberOptions): Described<number> => integer('long', options)

/** A number with a fraction; Java's notation, so that its largest double can stand for "no limit". */
export function double(options: Common & { default: string; min?: number; max?: number }): Described<number> {
  return {
    type: 'double',
    defaultText: options.default,
    update: options.update ?? 'read-only',
    doc: options.doc,
    parse(name, text) {
      const value = Number(text.trim())
      if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text.trim()) || !Number.isFinite(value))
        throw invalid(name, text, 'Not a number of type DOUBLE')
      if (options.min !== undefined && value < options.min)
        throw invalid(name, text, `Value must be at least ${options.min}`)
      if (options.max !== undefined && value > options.max)
        throw invalid(name, text, `Value must be no more than ${options.max}`)
      return value
    },
  }
}

/** One that is unset by default: its value is then null. */
export function optional<T>(described: Described<T>): Described<T | null> {
  return { ...described, defaultText: null }
}

export function boolean(options: Common & { readonly default: boolean }): Described<boolean> {
  return {
    type: 'boolean',
    defaultText: String(options.default),
    update: options.update ?? 'read-only',
    doc: options.doc,
    parse(name, text) {
      const value = text.trim().toLowerCase()
      if (value === 'true') return true
      if (value === 'false') return false
      throw invalid(name, text, 'Expected value to be either true or false')
    },
  }
}

interface StringOptions<T extends string> extends Common {
  readonly default: string
  readonly oneOf?: readonly T[]
  /** What Kafka takes and this broker does not serve, with the reason: refused with it, not as nonsense. */
  readonly unserved?: Readonly<Record<string, string>>
}

function checked<T extends string>(name: string, text: string, options: StringOptions<T>): T {
  const reason =
    options.unserved !== undefined && Object.hasOwn(options.unserved, text)
      ? options.unserved[text]
      : undefined
  if (reason !== undefined) throw invalid(name, text, reason)
  if (options.oneOf !== undefined && !options.oneOf.includes(text as T)) {
    throw invalid(name, text, `String must be one of: ${options.oneOf.join(', ')}`)
  }
  return text as T
}

export function string<T extends string = string>(options: StringOptions<T>): Described<T> {
  return {
    type: 'string',
    defaultText: options.default,
    update: options.update ?? 'read-only',
    doc: options.doc,
    parse: (name, text) => checked(name, text.trim(), options),
  }
}

/** Never told to anybody: neither by the admin API nor in a message. */
export function password(options: Common): Described<string> {
  const { doc, update = 'read-only' } = options
  return { type: 'password', defaultText: '', update, doc, parse: (_name, text) => text }
}

/** Comma-separated; blanks around the items do not count. */
export function list<T extends string = string>(
  options: StringOptions<T> & { readonly allowEmpty?: boolean },
): Described<readonly T[]> {
  return {
    type: 'list',
    defaultText: options.default,
    update: options.update ?? 'read-only',
    doc: options.doc,
    parse(name, text) {
      const items = splitList(text)
      if (items.length === 0 && options.allowEmpty !== true)
        throw invalid(name, text, 'The list must not be empty')
      const parsed = items.map(item => checked(name, item, options))
      if (new Set(parsed).size !== parsed.length) throw invalid(name, text, 'The list holds an item twice')
      return parsed
    },
  }
}

export function splitList(text: string): string[] {
  return text
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== '')
}

export type Table<D> = { readonly [K in keyof D]: D[K] & { readonly name: string } }
export type ValuesOf<D> = {
  readonly [K in keyof D]: D[K] extends { parse(name: string, text: string): infer T } ? T : never
}

/** Gives each definition the name that it stands under. */
export function table<D extends Record<string, Described<unknown>>>(definitions: D): Table<D> {
  const named: Record<string, ConfigDefinition> = Object.create(null)
  for (const [name, definition] of Object.entries(definitions)) named[name] = { name, ...definition }
  return named as unknown as Table<D>
}
