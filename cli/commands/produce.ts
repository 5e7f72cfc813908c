/** `sluice produce`: records from standard input or files into a topic. */
import { boolean, integer, string } from '@oclif/core/flags'
import type { DeliveryReport, Message, Producer } from '../../client/index.ts'
import { requiredArgument } from '../arguments.ts'
import { BaseCommand, connectionFlags } from '../base-command.ts'
import { CliError, usageError } from '../errors.ts'
import {
  type InputRecord,
  openInputs,
  parseDelimiter,
  readJson,
  readLines,
  readWhole,
} from '../records/read.ts'
import { parseDuration, parseSize } from '../settings.ts'
import { bytes, count, Progress, say } from '../terminal.ts'

const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
const ACKS = { all: 'all', '-1': -1, '1': 1, '0': 0 } as const

/** What was delivered, by partition. */
interface Tally {
  records: number
  bytes: number
  failed: number
  readonly ranges: Map<number, { first: number; last: number }>
}

export class Produce extends BaseCommand {
  static override readonly summary = 'Send records from standard input or files'
  static override readonly description = `Sends one record per line of standard input, or of the files named.
Bytes are sent as they are. A line without the key delimiter is a record without a key.`
  static override readonly examples = [
    '$ echo "hello" | sluice produce greetings',
    "$ printf 'k1:v1\\nk2:v2\\n' | sluice produce orders -k : -H source=import",
    '$ sluice produce logs app.log -z zstd --linger 20',
    '$ sluice consume orders -e -f json | sluice produce copy -f json',
    '$ sluice produce images --whole-files *.png',
  ]
  static override readonly usage = 'produce TOPIC [FILE…]'
  static override readonly strict = false
  static override readonly args = {
    topic: requiredArgument('topic to send to'),
  }
  static override readonly flags = {
    ...connectionFlags,
    format: string({
      char: 'f',
      options: ['lines', 'json'],
      default: 'lines',
      description: 'what the input is; json as consume -f json prints it',
    }),
    'key-delimiter': string({
      char: 'k',
      helpValue: 'TEXT',
      description: 'stands between key and value in a line',
    }),
    delimiter: string({ char: 'd', helpValue: 'TEXT', default: '\\n', description: 'ends a record' }),
    'whole-files': boolean({ description: 'each file is one record; with -k its name is the key' }),
    header: string({
      char: 'H',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'NAME=VALUE',
      description: 'header of every record',
    }),
    partition: integer({
      char: 'p',
      min: 0,
      description: 'partition for all records [by key, else in turn]',
    }),
    null: boolean({ char: 'Z', description: 'send empty values as null (tombstones)' }),
    compression: string({
      char: 'z',
      options: [...CODECS],
      default: 'none',
      description: 'codec of the batches',
    }),
    acks: string({
      char: 'a',
      options: Object.keys(ACKS),
      default: 'all',
      description: 'who must have a record before it counts',
    }),
    linger: string({ helpValue: '5ms', description: 'how long a batch waits for more records' }),
    'batch-bytes': string({ helpValue: '256k', description: 'largest batch' }),
    idempotent: boolean({ allowNo: true, description: 'exactly one copy of each record [with acks all]' }),
    verbose: boolean({ char: 'v', description: 'say where the records went' }),
  }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(Produce)
    await this.use(flags)
    const [topic, ...files] = argv as [string, ...string[]]
    if (flags['whole-files'] && flags.format === 'json')
      throw usageError('--whole-files and -f json exclude each other.')
    const headers = parseHeaders(flags.header ?? [])
    const records = this.records(files, flags)
    const kafka = await this.connect()
    const tally: Tally = { records: 0, bytes: 0, failed: 0, ranges: new Map() }
    let firstError: Error | null = null
    const producer = kafka.producer({
      acks: ACKS[flags.acks as keyof typeof ACKS],
      compression: flags.compression as (typeof CODECS)[number],
      ...(flags.idempotent === undefined ? {} : { idempotent: flags.idempotent }),
      ...(flags.linger === undefined ? {} : { lingerMs: parseDuration(flags.linger) }),
      ...(flags['batch-bytes'] === undefined ? {} : { batchBytes: parseSize(flags['batch-bytes']) }),
      onDelivery: report => {
        firstError ??= report.error
        note(tally, report)
      },
    })
    await producer.connect({ signal: this.signal })
    if (files.length === 0 && process.stdin.isTTY) say('One record per line; Ctrl-D ends.')
    const { partition } = flags
    try {
      await this.send(producer, topic, records, tally, {
        headers,
        ...(partition === undefined ? {} : { partition }),
      })
      await producer.flush({ signal: this.signal })
    } catch (error) {
      if (tally.failed === 0) throw error
      firstError ??= error as Error
    }
    this.summarize(topic, tally, flags.verbose)
    if (firstError !== null) throw failure(tally, firstError)
  }

  private records(
    files: readonly string[],
    flags: {
      format: string
      delimiter: string
      'key-delimiter'?: string | undefined
      'whole-files': boolean
      null: boolean
    },
  ): AsyncIterable<readonly InputRecord[]>[] {
    if (flags['whole-files']) return [readWhole(files, flags['key-delimiter'] !== undefined)]
    const inputs = openInputs(files)
    if (flags.format === 'json') return inputs.map(readJson)
    const keyDelimiter = flags['key-delimiter'] === undefined ? null : parseDelimiter(flags['key-delimiter'])
    const options = { delimiter: parseDelimiter(flags.delimiter), keyDelimiter, emptyIsNull: flags.null }
    return inputs.map(input => readLines(input, options))
  }

  private async send(
    producer: Producer,
    topic: string,
    sources: readonly AsyncIterable<readonly InputRecord[]>[],
    tally: Tally,
    common: { readonly headers: Record<string, string[]>; readonly partition?: number },
  ): Promise<void> {
    const startedAt = performance.now()
    const progress = new Progress()
    const withHeaders = Object.keys(common.headers).length > 0
    for (const source of sources) {
      for await (const records of source) {
        for (const record of records) {
          const message: Message = {
            ...record,
            ...(common.partition === undefined ? {} : { partition: common.partition }),
            ...(withHeaders ? { headers: { ...record.headers, ...common.headers } } : {}),
          }
          const room = producer.enqueue(topic, message)
          tally.bytes += (record.key?.length ?? 0) + (record.value?.length ?? 0)
          if (room !== undefined) await room
          if (this.signal.aborted) throw new CliError({ exitCode: 130, what: 'Interrupted.' })
        }
        progress.update(() => progressLine(topic, tally, performance.now() - startedAt))
      }
    }
    progress.done()
  }

  private summarize(topic: string, tally: Tally, verbose: boolean): void {
    if (!verbose && !process.stderr.isTTY) return
    const ranges = [...tally.ranges]
      .sort(([left], [right]) => left - right)
      .map(([partition, { first, last }]) => `  partition ${partition}: offsets ${first} to ${last}`)
    say([`${count(tally.records)} records to ${topic}.`, ...ranges].join('\n'))
  }
}

function note(tally: Tally, report: DeliveryReport): void {
  if (report.error !== null) {
    tally.failed += report.count
    return
  }
  tally.records += report.count
  if (report.baseOffset < 0) return
  const last = report.baseOffset + report.count - 1
  const range = tally.ranges.get(report.partition)
  if (range === undefined) tally.ranges.set(report.partition, { first: report.baseOffset, last })
  else range.last = Math.max(range.last, last)
}

function failure(tally: Tally, error: Error): Error {
  if (tally.records === 0) return error
  return new CliError({
    what: `${count(tally.failed)} records were not delivered, ${count(tally.records)} were.`,
    means: error.message,
    advice: [
      'What was not delivered can be sent again; which records they are is not known to this command.',
    ],
    cause: error,
  })
}

function progressLine(topic: string, tally: Tally, elapsedMs: number): string {
  const seconds = Math.max(elapsedMs, 1) / 1000
  const rate = `${count(Math.round(tally.records / seconds))} records/s, ${bytes(tally.bytes / seconds)}/s`
  return `${topic}: ${count(tally.records)} records, ${bytes(tally.bytes)}  ${rate}`
}

/** Several values of one name are kept in order. Throws CliError. */
function parseHeaders(texts: readonly string[]): Record<string, string[]> {
  const headers = new Map<string, string[]>()
  for (const text of texts) {
    const at = text.indexOf('=')
    if (at <= 0) throw usageError(`${JSON.stringify(text)} is no header: write NAME=VALUE.`)
    const name = text.slice(0, at)
    headers.set(name, [...(headers.get(name) ?? []), text.slice(at + 1)])
  }
  return Object.fromEntries(headers)
}
