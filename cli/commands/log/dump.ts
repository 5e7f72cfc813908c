/** `sluice log dump`: what stands in the files of a data folder, with checks. Reads only; the broker may be running. */
import { readdir, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { boolean, option } from '@oclif/core/flags'
import type { DumpItem } from '../../../broker/storage/dump.ts'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand } from '../../base-command.ts'
import { CliError } from '../../errors.ts'
import { jsonValue } from '../../output/present.ts'
import { outputClosed, writeOut } from '../../output/writer.ts'
import { toJson } from '../../records/format.ts'
import { bytes, count, paint, say } from '../../terminal.ts'

const KNOWN_FILE = /^\d{20}\.(log|index|timeindex|txnindex|snapshot)$/
const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

interface Summary {
  files: number
  batches: number
  records: number
  bytes: number
  entries: number
  problems: number
}

export class LogDump extends BaseCommand {
  static override readonly summary = 'Show and check segments and indexes of a data folder'
  static override readonly description =
    `Takes files, folders of partitions, or a whole data folder; ours or Kafka's. Checks the CRC of every batch, that
offsets ascend, and that every entry of an index is true. Ends with code 1 when something is wrong.`
  static override readonly examples = [
    '$ sluice log dump ./data --check',
    '$ sluice log dump ./data/orders-0',
    '$ sluice log dump ./data/orders-0/00000000000000000000.log --records -o json',
  ]
  static override readonly usage = 'log dump PATH…'
  static override readonly strict = false
  static override readonly args = { path: requiredArgument('files or folders') }
  static override readonly flags = {
    output: option({
      char: 'o',
      options: ['table', 'json'] as const,
      default: 'table' as const,
      description: 'lines for people, or one JSON object per line',
    })(),
    records: boolean({ char: 'r', description: 'show the records of each batch' }),
    check: boolean({ description: 'show only what is wrong' }),
  }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(LogDump)
    const [{ dumpFile }, { createNodeEnv }] = await Promise.all([
      import('../../../broker/storage/dump.ts'),
      import('../../../broker/index.ts'),
    ])
    const { disk } = createNodeEnv()
    const summary: Summary = { files: 0, batches: 0, records: 0, bytes: 0, entries: 0, problems: 0 }
    const print = flags.output === 'json' ? jsonPrinter : textPrinter
    for (const path of argv as string[]) {
      const files = await filesBelow(resolve(path))
      if (files.length === 0) throw new CliError({ what: `There is no segment and no index below ${path}.` })
      for (const file of files) {
        summary.files += 1
        let headed = false
        for await (const item of dumpFile(disk, file, { withBytes: flags.records })) {
          add(summary, item)
          if (flags.check && item.kind !== 'problem') continue
          if (!headed && flags.output === 'table') await writeOut(`${paint(process.stdout, 'bold', file)}\n`)
          headed = true
          for (const line of await print(file, item, flags.records)) await writeOut(`${line}\n`)
          if (outputClosed()) return
        }
      }
    }
    say(summaryText(summary))
    if (summary.problems > 0) {
      throw new CliError({
        what: `${count(summary.problems)} problem${summary.problems === 1 ? ' was' : 's were'} found.`,
        means:
          'A torn tail is cut and indexes are rebuilt when a broker opens the folder; a damaged middle is not repaired.',
        advice: ['Copy the folder before anything else is done to it.'],
      })
    }
  }
}

/** Sorted, so that a segment's files stand together. */
async function filesBelow(path: string): Promise<string[]> {
  if (!(await stat(path)).isDirectory()) return [path]
  const entries = await readdir(path, { withFileTypes: true })
  const names = entries.sort((left, right) => (left.name < right.name ? -1 : 1))
  const found: string[] = []
  for (const entry of names) {
    if (entry.isDirectory()) found.push(...(await filesBelow(join(path, entry.name))))
    else if (KNOWN_FILE.test(entry.name)) found.push(join(path, entry.name))
  }
  return found
}

function add(summary: Summary, item: DumpItem): void {
  switch (item.kind) {
    case 'batch':
      summary.batches += 1
      summary.records += item.header.recordCount
      summary.bytes += item.header.byteLength
      return
    case 'problem':
      summary.problems += 1
      return
    case 'unused':
      return
    case 'offset-entry':
    case 'time-entry':
    case 'aborted':
    case 'producer':
      summary.entries += 1
      return
    default:
      item satisfies never
  }
}

function summaryText(summary: Summary): string {
  const found = `${count(summary.batches)} batches with ${count(summary.records)} records, ${bytes(summary.bytes)}`
  const verdict = summary.problems === 0 ? 'nothing wrong' : `${count(summary.problems)} problems`
  return `${count(summary.files)} files: ${found}, ${count(summary.entries)} entries; ${verdict}.`
}

function time(timestampMs: number): string {
  return timestampMs < 0 ? '-' : new Date(timestampMs).toISOString()
}

async function recordsOf(file: string, item: DumpItem): Promise<Record<string, unknown>[]> {
  if (item.kind !== 'batch') return []
  const { decodeRecords } = await import('../../../client/protocol/record.ts')
  const folder = basename(join(file, '..'))
  const split = /^(.*)-(\d+)$/.exec(folder)
  return decodeRecords(item.bytes).map(record =>
    toJson({
      topic: split?.[1] ?? folder,
      partition: Number(split?.[2] ?? -1),
      offset: record.offset,
      timestamp: record.timestamp,
      keyBytes: asBuffer(record.key),
      valueBytes: asBuffer(record.value),
      headers: record.headers.map(header => ({ key: header.key, value: asBuffer(header.value) })),
    }),
  )
}

function asBuffer(view: Uint8Array | null): Buffer | null {
  return view === null ? null : Buffer.from(view.buffer, view.byteOffset, view.byteLength)
}

async function jsonPrinter(file: string, item: DumpItem, records: boolean): Promise<string[]> {
  const decoded = records && item.kind === 'batch' ? { records: await recordsOf(file, item) } : {}
  const { bytes: _bytes, ...plain } = item as DumpItem & { bytes?: unknown }
  return [JSON.stringify({ file, ...plain, ...decoded }, jsonValue)]
}

async function textPrinter(file: string, item: DumpItem, records: boolean): Promise<string[]> {
  switch (item.kind) {
    case 'batch': {
      const { header, position } = item
      const facts = [
        `offsets ${header.baseOffset}..${header.lastOffset}`,
        `position ${position}`,
        `${header.byteLength} B`,
        `${header.recordCount} records`,
        CODECS[header.codecId] ?? `codec ${header.codecId}`,
        `epoch ${header.leaderEpoch}`,
        time(header.maxTimestamp),
        ...(header.producerId >= 0n
          ? [`producer ${header.producerId}/${header.producerEpoch} sequence ${header.baseSequence}`]
          : []),
        ...(header.isTransactional ? ['transactional'] : []),
        ...(header.isControl ? ['control'] : []),
      ]
      const lines = records ? await recordsOf(file, item) : []
      return [`  ${facts.join(', ')}`, ...lines.map(line => `    ${JSON.stringify(line)}`)]
    }
    case 'offset-entry':
      return [`  offset ${item.offset} at position ${item.position}`]
    case 'time-entry':
      return [`  ${time(item.timestamp)} at offset ${item.offset}`]
    case 'aborted':
      return [`  aborted transaction ${JSON.stringify(item.transaction, jsonValue)}`]
    case 'producer':
      return [`  producer ${JSON.stringify(item.entry, jsonValue)}`]
    case 'unused':
      return [`  position ${item.position}: ${bytes(item.bytes)} not used yet`]
    case 'problem': {
      const where = item.position === undefined ? '' : `position ${item.position}: `
      return [`  ${paint(process.stdout, 'red', 'problem:')} ${where}${item.message}`]
    }
    default:
      return item satisfies never
  }
}
