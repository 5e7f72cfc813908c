/**
 * The terminal as commands see it: whether there is one, colour, questions, and a line of progress. Data goes to
 * standard output and everything said about it to standard error, so that a pipe carries data only.
 */
import { createInterface } from 'node:readline/promises'
import { CliError, ExitCode } from './errors.ts'

/** See https://no-color.org: any value but the empty one turns colour off. */
export function hasColour(stream: NodeJS.WriteStream): boolean {
  if ((process.env['NO_COLOR'] ?? '') !== '') return false
  if ((process.env['FORCE_COLOR'] ?? '') !== '') return process.env['FORCE_COLOR'] !== '0'
  return stream.isTTY === true && process.env['TERM'] !== 'dumb'
}

const STYLES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const
export type Style = keyof typeof STYLES

export function paint(stream: NodeJS.WriteStream, style: Style, text: string): string {
  return hasColour(stream) ? `\x1b[${STYLES[style]}m${text}\x1b[0m` : text
}

/** A sentence for the person, on standard error. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** One line that is written over and over; nothing at all where standard error is no terminal. */
export class Progress {
  private readonly shown = process.stderr.isTTY === true
  private readonly everyMs: number
  private lastAt = 0
  private written = false

  constructor(everyMs = 100) {
    this.everyMs = everyMs
  }

  /** `line` is asked for only when it is time to show it. */
  update(line: () => string): void {
    if (!this.shown) return
    const now = performance.now()
    if (now - this.lastAt < this.everyMs) return
    this.lastAt = now
    const width = process.stderr.columns ?? 80
    process.stderr.write(`\r\x1b[K${line().slice(0, width - 1)}`)
    this.written = true
  }

  /** Takes the line away again. */
  done(): void {
    if (this.written) process.stderr.write('\r\x1b[K')
    this.written = false
  }
}

/**
 * Asks before something is lost. `--yes` answers for the person; without a terminal to ask on, nothing is done.
 * Throws CliError when the answer is not yes.
 */
export async function confirm(question: string, yes: boolean): Promise<void> {
  if (yes) return
  if (process.stdin.isTTY !== true || process.stderr.isTTY !== true) {
    throw new CliError({
      exitCode: ExitCode.USAGE,
      what: question.replace(/\?$/, '.'),
      means: 'This wants a yes, and there is no terminal to ask on; nothing was changed.',
      advice: ['Add --yes to do it, or --dry-run to see what would be done.'],
    })
  }
  const reader = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await reader.question(`${question} [y/N] `)
    if (!/^y(es)?$/i.test(answer.trim())) {
      throw new CliError({ exitCode: ExitCode.FAILED, what: 'Nothing was changed.' })
    }
  } finally {
    reader.close()
  }
}

/** 1,234,567 */
export function count(value: number): string {
  return value.toLocaleString('en-US')
}

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** 1.5 MiB */
export function bytes(value: number): string {
  let unit = 0
  let scaled = value
  while (scaled >= 1024 && unit < BYTE_UNITS.length - 1) {
    scaled /= 1024
    unit += 1
  }
  return `${unit === 0 ? scaled : scaled.toFixed(scaled < 10 ? 2 : 1)} ${BYTE_UNITS[unit]}`
}
