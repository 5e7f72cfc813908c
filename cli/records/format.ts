/**
 * How `consume` prints a record: a format of the kind that kcat has made known, JSON with one object per line, or the
 * bytes of the value alone. Bytes pass through as they are; only JSON, which is text, has to mark what is not UTF-8.
 * Pure: a compiled format turns a record into bytes.
 */
import { isUtf8 } from 'node:buffer'
import { usageError } from '../errors.ts'

/** What a format needs of a record. */
export interface PrintableRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly keyBytes: Buffer | null
  readonly valueBytes: Buffer | null
  readonly headers: readonly { readonly key: string; readonly value: Buffer | null }[]
}

export type RecordPrinter = (record: PrintableRecord) => readonly Uint8Array[]

export interface FormatOptions {
  /** Stands for a null key or value in text formats. */
  readonly nullText: string
}

type Part = (record: PrintableRecord) => Uint8Array | string

const ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  t: '\t',
  r: '\r',
  '0': '\0',
  '\\': '\\',
  e: '\x1b',
}

export const FORMAT_HELP = `%t topic, %p partition, %o offset, %T timestamp (ms), %D timestamp (ISO), %k key, %K key length,
%v or %s value, %V or %S value length, %h headers, %% a percent sign; \\n \\t \\r \\0 \\xHH`

/** Throws CliError for a directive that does not exist. */
export function compileFormat(format: string, options: FormatOptions): RecordPrinter {
  if (format === 'json') return record => [Buffer.from(`${JSON.stringify(toJson(record))}\n`)]
  if (format === 'raw') return record => (record.valueBytes === null ? [] : [record.valueBytes])
  const parts = parseFormat(format, options)
  return record =>
    parts.map(part => {
      const piece = part(record)
      return typeof piece === 'string' ? Buffer.from(piece) : piece
    })
}

function parseFormat(format: string, { nullText }: FormatOptions): Part[] {
  const parts: Part[] = []
  let literal = ''
  const flush = (): void => {
    const bytes = Buffer.from(literal, 'utf8')
    if (literal !== '') parts.push(() => bytes)
    literal = ''
  }
  for (let at = 0; at < format.length; at += 1) {
    const character = format[at]!
    const next = format[at + 1]
    if (character === '\\' && next !== undefined) {
      const hex = /^x([0-9a-fA-F]{2})/.exec(format.slice(at + 1))
      if (hex !== null) {
        // A byte of its own, which need not be a character.
        const byte = Buffer.from(hex[1]!, 'hex')
        flush()
        parts.push(() => byte)
        at += 3
        continue
      }
      const literalByte = ESCAPES[next]
      if (literalByte === undefined) throw unknownDirective(`\\${next}`)
      literal += literalByte
      at += 1
    } else if (character === '%' && next === '%') {
      literal += '%'
      at += 1
    } else if (character === '%') {
      flush()
      parts.push(directive(next ?? '', nullText))
      at += 1
    } else {
      literal += character
    }
  }
  flush()
  return parts
}

function directive(letter: string, nullText: string): Part {
  switch (letter) {
    case 't':
      return record => record.topic
    case 'p':
      return record => String(record.partition)
    case 'o':
      return record => String(record.offset)
    case 'T':
      return record => String(record.timestamp)
    case 'D':
      return record => (record.timestamp < 0 ? '-' : new Date(record.timestamp).toISOString())
    case 'k':
      return record => record.keyBytes ?? nullText
    case 'K':
      return record => String(record.keyBytes?.length ?? -1)
    case 'v':
    case 's':
      return record => record.valueBytes ?? nullText
    case 'V':
    case 'S':
      return record => String(record.valueBytes?.length ?? -1)
    case 'h':
      return record => headersText(record, nullText)
    default:
      throw unknownDirective(`%${letter}`)
  }
}

function unknownDirective(text: string): Error {
  return usageError(`The format has ${text}, which is not known.`, ...FORMAT_HELP.split('\n'))
}

/** `name=value,name=value`, the bytes as they are. */
function headersText(record: PrintableRecord, nullText: string): Uint8Array {
  const pieces = record.headers.flatMap((header, index) => [
    Buffer.from(`${index === 0 ? '' : ','}${header.key}=`),
    header.value ?? Buffer.from(nullText),
  ])
  return Buffer.concat(pieces)
}

/** Bytes as a JSON value: text where they are UTF-8, else base64 with `<field>Encoding` beside it. */
function textField(field: string, bytes: Buffer | null): Record<string, string | null> {
  if (bytes === null) return { [field]: null }
  if (isUtf8(bytes)) return { [field]: bytes.toString('utf8') }
  return { [field]: bytes.toString('base64'), [`${field}Encoding`]: 'base64' }
}

export function toJson(record: PrintableRecord): Record<string, unknown> {
  return {
    topic: record.topic,
    partition: record.partition,
    offset: record.offset,
    timestamp: record.timestamp,
    ...textField('key', record.keyBytes),
    ...textField('value', record.valueBytes),
    headers: record.headers.map(header => ({ key: header.key, ...textField('value', header.value) })),
  }
}
