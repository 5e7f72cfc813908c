/**
 * Text that is shown again and again: written over itself on a terminal, one after another where there is none. It
 * must never move the cursor where standard output is no terminal.
 */
import { outputClosed, writeOut } from './writer.ts'

/** Line breaks of long lines would spoil the count of lines to go up; they are cut at the edge instead. */
const NO_WRAP = '\x1b[?7l'
const WRAP = '\x1b[?7h'
const CLEAR_LINE = '\x1b[K'
const CLEAR_BELOW = '\x1b[J'
const DEFAULT_ROWS = 24

export class Live {
  readonly onTerminal = process.stdout.isTTY === true
  private lines = 0
  private shown = false

  /** `text` ends with a line break. Beyond the height of the terminal it is cut, and says so. */
  async show(text: string): Promise<void> {
    if (outputClosed()) return
    if (!this.onTerminal) {
      await writeOut(`${this.shown ? '\n' : ''}${text}`)
      this.shown = true
      return
    }
    const lines = fit(text.split('\n').slice(0, -1), (process.stdout.rows ?? DEFAULT_ROWS) - 1)
    await writeOut(over(lines, this.lines))
    this.lines = lines.length
  }
}

/** At most `rows` of the lines; the last one tells how many were left out. Pure. */
export function fit(lines: readonly string[], rows: number): string[] {
  if (lines.length <= rows) return [...lines]
  const kept = lines.slice(0, Math.max(0, rows - 1))
  return [...kept, `… ${lines.length - kept.length} more`]
}

/** The lines, written over the `before` lines above the cursor. Pure. */
export function over(lines: readonly string[], before: number): string {
  const up = before === 0 ? '' : `\x1b[${before}A\r`
  return `${NO_WRAP}${up}${lines.map(line => `${line}${CLEAR_LINE}\n`).join('')}${CLEAR_BELOW}${WRAP}`
}
