/**
 * Turns the outcome of a command into a table, a wide table, JSON or YAML. JSON and YAML carry the data as it is, with
 * stable names in camelCase, and are what scripts should read; tables may change.
 */
import { paint } from '../terminal.ts'
import { writeOut } from './writer.ts'

export const OUTPUT_FORMATS = ['table', 'wide', 'json', 'yaml'] as const
export type OutputFormat = (typeof OUTPUT_FORMATS)[number]

export interface Column<Row> {
  readonly title: string
  readonly value: (row: Row) => string | number | boolean | null
  readonly align?: 'left' | 'right'
  /** Shown with `--output wide` only. */
  readonly wide?: boolean
}

export interface Presentation<Row> {
  /** What JSON and YAML show. */
  readonly data: unknown
  readonly columns: readonly Column<Row>[]
  readonly rows: readonly Row[]
  /** What a table without rows says, on standard error. */
  readonly empty?: string
}

/** For JSON.stringify: what JSON has no form for. */
export function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Error) return value.message
  return value
}

export async function toYaml(data: unknown): Promise<string> {
  const { stringify } = await import('yaml')
  return stringify(JSON.parse(JSON.stringify(data, jsonValue) ?? 'null'), { lineWidth: 0 })
}

function cellText(value: string | number | boolean | null): string {
  if (value === null) return '-'
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  return String(value)
}

/** Lines of a table, with two spaces between columns and none at the ends of lines. */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  style: (heading: string) => string = heading => heading,
): string {
  const cells = rows.map(row => columns.map(column => cellText(column.value(row))))
  const widths = columns.map((column, index) =>
    cells.reduce((width, row) => Math.max(width, row[index]!.length), column.title.length),
  )
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, index) => {
        const width = widths[index]!
        return columns[index]!.align === 'right' ? text.padStart(width) : text.padEnd(width)
      })
      .join('  ')
      .trimEnd()
  const heading = style(line(columns.map(column => column.title.toUpperCase())))
  return [heading, ...cells.map(line)].map(text => `${text}\n`).join('')
}

export async function present<Row>(format: OutputFormat, presentation: Presentation<Row>): Promise<void> {
  const { data, columns, rows, empty } = presentation
  switch (format) {
    case 'json':
      await writeOut(`${JSON.stringify(data, jsonValue, 2)}\n`)
      return
    case 'yaml':
      await writeOut(await toYaml(data))
      return
    case 'table':
    case 'wide': {
      if (rows.length === 0 && empty !== undefined) {
        process.stderr.write(`${empty}\n`)
        return
      }
      const shown = columns.filter(column => format === 'wide' || column.wide !== true)
      await writeOut(renderTable(shown, rows, heading => paint(process.stdout, 'dim', heading)))
      return
    }
    default:
      format satisfies never
  }
}
