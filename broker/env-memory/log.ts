/**
 * A log that keeps its lines for a test to look at.
 */
import { type Log, type LogFields } from '../env.ts'

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  readonly fields: LogFields
}

export class CollectingLog implements Log {
  /** Shared with all children, in order. */
  readonly lines: LogLine[]
  readonly #fields: LogFields

  constructor(lines: LogLine[] = [], fields: LogFields = {}) {
    this.lines = lines
    this.#fields = fields
  }

  debug(message: string, fields?: LogFields): void {
    this.#add('debug', message, fields)
  }

  info(message: string, fields?: LogFields): void {
    this.#add('info', message, fields)
  }

  warn(message: string, fields?: LogFields): void {
    this.#add('warn', message, fields)
  }

  error(message: string, fields?: LogFields): void {
    this.#add('error', message, fields)
  }

  child(fields: LogFields): Log {
    return new CollectingLog(this.lines, { ...this.#fields, ...fields })
  }

  /** Lines of that level, for `t.same(log.of('error'), [])`. */
  of(level: LogLine['level']): LogLine[] {
    return this.lines.filter(line => line.level === level)
  }

  #add(level: LogLine['level'], message: string, fields: LogFields = {}): void {
    this.lines.push({ level, message, fields: { ...this.#fields, ...fields } })
  }
}
