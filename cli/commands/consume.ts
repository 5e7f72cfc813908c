/** `sluice consume`: records of topics to standard output. */
import { boolean, integer, string } from '@oclif/core/flags'
import type { Admin, Assignment, Consumer, OffsetSpec, StartFrom } from '../../client/index.ts'
import { requiredArgument } from '../arguments.ts'
import { BaseCommand, connectionFlags } from '../base-command.ts'
import { CliError, ExitCode, usageError } from '../errors.ts'
import { onOutputClosed, outputClosed, writeOut } from '../output/writer.ts'
import { compileFormat, FORMAT_HELP, type RecordPrinter } from '../records/format.ts'
import { type OffsetPosition, parseOffset } from '../records/offset.ts'
import { bytes, count, Progress } from '../terminal.ts'

const END_CHECK_MS = 100
const IDLE_FLUSH_BYTES = 256 * 1024

/** A partition with where reading starts, and where it ends with --exit. */
interface Plan {
  readonly topic: string
  readonly partition: number
  readonly from: OffsetSpec
  /** Reading is done at this offset; null goes on. */
  readonly until: number | null
}

export class Consume extends BaseCommand {
  static override readonly summary = 'Print records of topics'
  static override readonly description =
    `Prints records as they come, from the start, until Ctrl-C; with -e until the end that
each partition had when the command started. With --group the partitions are shared with the other members, and -o says
where to start where the group has committed nothing.

FORMAT of -f is json (an object per line; what is not UTF-8 is base64 and marked so), raw (values with nothing
between them), or a text with these:
${FORMAT_HELP}`
  static override readonly examples = [
    '$ sluice consume orders',
    "$ sluice consume orders -o -10 -e -f '%p:%o %k = %v\\n'",
    '$ sluice consume orders payments -o @15m -f json',
    '$ sluice consume orders -o end -n 1',
    '$ sluice consume orders --group billing',
    "$ sluice consume logs --grep 'error|fatal'",
  ]
  static override readonly strict = false
  static override readonly args = { topic: requiredArgument('topics to read') }
  static override readonly flags = {
    ...connectionFlags,
    format: string({
      char: 'f',
      default: '%v\\n',
      helpValue: 'FORMAT',
      description: 'how a record is printed: a format, json, raw',
    }),
    offset: string({
      char: 'o',
      default: 'start',
      helpValue: 'start|end|@TIME|N|-N',
      description:
        'where to start: an offset, the last N of each partition, a time (@15m, @2026-01-31T12:00)',
    }),
    group: string({
      char: 'G',
      helpValue: 'NAME',
      description:
        'read as a member of this group: go on where it has committed, and commit what was printed',
    }),
    partition: integer({
      char: 'p',
      exclusive: ['group'],
      multiple: true,
      multipleNonGreedy: true,
      min: 0,
      description: 'only these partitions',
    }),
    count: integer({ char: 'n', min: 1, helpValue: 'N', description: 'stop after so many records' }),
    exit: boolean({ char: 'e', description: 'stop at the end instead of waiting for more' }),
    follow: boolean({
      exclusive: ['exit'],
      description: 'wait for more at the end; this is what happens without -e',
    }),
    grep: string({ char: 'g', helpValue: 'REGEX', description: 'only records whose key or value matches' }),
    null: string({ helpValue: 'TEXT', default: '', description: 'stands for a null key or value' }),
    isolation: string({
      options: ['read_uncommitted', 'read_committed'],
      default: 'read_uncommitted',
      description: 'whether records of open and aborted transactions are shown',
    }),
  }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(Consume)
    await this.use(flags)
    const printer = compileFormat(flags.format, { nullText: flags.null })
    const position = parseOffset(flags.offset, Date.now())
    const pattern = flags.grep === undefined ? null : toPattern(flags.grep)
    const kafka = await this.connect({ retry: {} })
    const isolation = flags.isolation as 'read_uncommitted' | 'read_committed'
    const admin = kafka.admin()
    const limit = flags.count ?? Number.POSITIVE_INFINITY
    if (flags.group !== undefined) {
      const from = startOfGroup(position)
      const topics = [...new Set(argv as string[])]
      const plans = await this.plan(admin, topics, null, position, flags.exit, isolation)
      const consumer = kafka.consumer({ groupId: flags.group, isolation, onOffsetOutOfRange: 'error' })
      await consumer.subscribe({ topics, from }, { signal: this.signal })
      await this.read(consumer, plans, new Output(printer, pattern, limit), true)
      await consumer.close()
      if (this.signal.aborted) throw new CliError({ exitCode: ExitCode.INTERRUPTED, what: 'Interrupted.' })
      return
    }
    const plans = await this.plan(
      admin,
      argv as string[],
      flags.partition ?? null,
      position,
      flags.exit,
      isolation,
    )
    const open = plans.filter(plan => plan.until === null || !isBehind(plan))
    if (open.length === 0) return
    const consumer = kafka.consumer({ isolation, onOffsetOutOfRange: 'error' })
    await consumer.assign(
      open.map(({ topic, partition, from }): Assignment => ({ topic, partition, offset: from })),
    )
    await this.read(consumer, open, new Output(printer, pattern, limit), false)
    if (this.signal.aborted) throw new CliError({ exitCode: ExitCode.INTERRUPTED, what: 'Interrupted.' })
  }

  private async plan(
    admin: Admin,
    topics: readonly string[],
    partitions: readonly number[] | null,
    position: OffsetPosition,
    exit: boolean,
    isolation: 'read_uncommitted' | 'read_committed',
  ): Promise<Plan[]> {
    const { signal } = this
    const described = await admin.describeTopics({ topics: [...new Set(topics)], signal })
    const chosen = described.flatMap(({ topic, partitions: all }) => {
      const missing = partitions?.find(wanted => !all.some(each => each.partition === wanted))
      if (missing !== undefined)
        throw usageError(`${topic} has no partition ${missing}; it has ${all.length}.`)
      return all
        .filter(each => partitions?.includes(each.partition) ?? true)
        .map(each => ({ topic, partition: each.partition }))
    })
    const ask = (spec: 'earliest' | 'latest') =>
      admin.listOffsets({ partitions: chosen.map(each => ({ ...each, spec })), isolation, signal })
    const wantsEnds = exit || position.kind === 'from-end'
    const ends = wantsEnds ? await ask('latest') : []
    const starts = wantsEnds ? await ask('earliest') : []
    return chosen.map(each => {
      const find = (list: typeof ends): number =>
        list.find(found => found.topic === each.topic && found.partition === each.partition)?.offset ?? 0
      const from = startingPoint(position, find(starts), find(ends))
      return { ...each, from, until: exit ? (find(ends) === find(starts) ? 0 : find(ends)) : null }
    })
  }

  private async read(
    consumer: Consumer,
    plans: readonly Plan[],
    output: Output,
    inGroup: boolean,
  ): Promise<void> {
    const stop = new AbortController()
    const abort = (): void => stop.abort()
    this.signal.addEventListener('abort', abort)
    const unlisten = onOutputClosed(abort)
    const ends = new Map(plans.map(plan => [`${plan.topic}/${plan.partition}`, plan.until]))
    // A member that has no partitions yet waits for some.
    const atEnd = (): boolean =>
      (!inGroup || consumer.assignment.length > 0) &&
      consumer.assignment.every(({ topic, partition, position }) => {
        const until = ends.get(`${topic}/${partition}`) ?? null
        return until !== null && position !== null && position >= until
      })
    // The last offsets of a partition may belong to records that are never shown (markers of transactions), so the
    // positions are looked at as well as the records.
    const timer = setInterval(() => {
      if (atEnd()) abort()
    }, END_CHECK_MS)
    try {
      if (inGroup && Number.isFinite(output.limit)) {
        await printMessages(consumer, output, stop.signal)
        return
      }
      for await (const batch of consumer.batches({ signal: stop.signal })) {
        const until = ends.get(`${batch.topic}/${batch.partition}`) ?? Number.POSITIVE_INFINITY
        for (const message of batch) {
          if (message.offset >= until || output.full) break
          output.add(message)
        }
        await output.flush()
        // What could not be written was not read: the next member gets it. Without a group this does nothing.
        if (!outputClosed()) batch.ack()
        if (output.full || outputClosed() || (batch.lastOffset + 1 >= until && atEnd())) break
      }
    } catch (error) {
      if (!stop.signal.aborted) throw error
    } finally {
      clearInterval(timer)
      unlisten()
      this.signal.removeEventListener('abort', abort)
      output.progress.done()
    }
  }
}

/** One by one, so that exactly the records that were printed, or did not match, are committed. */
async function printMessages(consumer: Consumer, output: Output, signal: AbortSignal): Promise<void> {
  for await (const message of consumer.messages({ signal })) {
    output.add(message)
    await output.flush()
    if (outputClosed()) return
    message.ack()
    if (output.full) return
  }
}

/** Gathers printed records and writes them in large pieces; counts and filters on the way. */
class Output {
  readonly progress = new Progress()
  private readonly printer: RecordPrinter
  private readonly pattern: RegExp | null
  readonly limit: number
  private readonly shown = process.stderr.isTTY === true && process.stdout.isTTY !== true
  private pieces: Uint8Array[] = []
  private pendingBytes = 0
  private records = 0
  private totalBytes = 0

  constructor(printer: RecordPrinter, pattern: RegExp | null, limit: number) {
    this.printer = printer
    this.pattern = pattern
    this.limit = limit
  }

  get full(): boolean {
    return this.records >= this.limit
  }

  add(record: Parameters<RecordPrinter>[0]): void {
    if (this.pattern !== null && !matches(this.pattern, record)) return
    this.records += 1
    for (const piece of this.printer(record)) {
      this.pieces.push(piece)
      this.pendingBytes += piece.length
    }
  }

  async flush(): Promise<void> {
    const { pieces, pendingBytes } = this
    if (pieces.length > 0) {
      this.pieces = []
      this.pendingBytes = 0
      this.totalBytes += pendingBytes
      const whole = Buffer.concat(pieces, pendingBytes)
      for (let at = 0; at < whole.length && !outputClosed(); at += IDLE_FLUSH_BYTES) {
        await writeOut(whole.subarray(at, at + IDLE_FLUSH_BYTES))
      }
    }
    if (this.shown) this.progress.update(() => `${count(this.records)} records, ${bytes(this.totalBytes)}`)
  }
}

function matches(pattern: RegExp, record: Parameters<RecordPrinter>[0]): boolean {
  return [record.keyBytes, record.valueBytes].some(
    part => part !== null && pattern.test(part.toString('utf8')),
  )
}

function toPattern(text: string): RegExp {
  try {
    return new RegExp(text)
  } catch (error) {
    throw usageError(`--grep is no regular expression: ${(error as Error).message}`)
  }
}

function isBehind(plan: Plan): boolean {
  return plan.until === 0 || (typeof plan.from === 'number' && plan.until !== null && plan.from >= plan.until)
}

function startOfGroup(position: OffsetPosition): StartFrom {
  switch (position.kind) {
    case 'start':
      return 'earliest'
    case 'end':
      return 'latest'
    case 'time':
      return { timestamp: position.timestampMs }
    case 'offset':
    case 'from-end':
      throw usageError(
        'In a group -o can be start, end or @TIME: the group remembers its offsets.',
        'To move a group: sluice group seek NAME --to OFFSET.',
      )
    default:
      return position satisfies never
  }
}

function startingPoint(position: OffsetPosition, start: number, end: number): OffsetSpec {
  switch (position.kind) {
    case 'start':
      return 'earliest'
    case 'end':
      return 'latest'
    case 'offset':
      return position.offset
    case 'from-end':
      return Math.max(start, end - position.count)
    case 'time':
      return { timestamp: position.timestampMs }
    default:
      return position satisfies never
  }
}
