/** `sluice topic trim`: deletes records from the beginning of partitions (DeleteRecords). */
import { integer, string } from '@oclif/core/flags'
import type { Admin } from '../../../client/index.ts'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags, destructiveFlags, outputFlags } from '../../base-command.ts'
import { usageError } from '../../errors.ts'
import { type OffsetPosition, parseOffset } from '../../records/offset.ts'
import { confirm, count } from '../../terminal.ts'

interface TrimRow {
  readonly partition: number
  readonly start: number
  readonly before: number
  readonly records: number
}

export class TopicTrim extends BaseCommand {
  static override readonly summary = 'Delete the oldest records of a topic'
  static override readonly examples = [
    '$ sluice topic trim orders --before @24h     records older than a day',
    '$ sluice topic trim orders --before end      all there are now',
    '$ sluice topic trim orders -p 0 --before 1200',
  ]
  static override readonly args = {
    topic: requiredArgument('name of the topic'),
  }
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    ...destructiveFlags,
    before: string({
      required: true,
      helpValue: 'OFFSET|@TIME|end|-N',
      description: 'records before this go: an offset, a time, the end, or all but the last N',
    }),
    partition: integer({
      char: 'p',
      multiple: true,
      multipleNonGreedy: true,
      min: 0,
      description: 'only these partitions',
    }),
  }

  async run(): Promise<void> {
    const { flags, args } = await this.parse(TopicTrim)
    await this.use(flags)
    const position = parseOffset(flags.before, Date.now())
    if (position.kind === 'start') throw usageError('Nothing lies before the start.')
    const admin = await this.admin()
    const rows = await this.plan(admin, args.topic, flags.partition ?? null, position)
    const records = rows.reduce((sum, row) => sum + row.records, 0)
    if (!flags['dry-run'] && records > 0) {
      await confirm(`Delete ${count(records)} records of ${args.topic}?`, flags.yes)
      await admin.deleteRecords({
        topic: args.topic,
        partitions: rows
          .filter(row => row.records > 0)
          .map(row => ({ partition: row.partition, offset: row.before })),
        signal: this.signal,
      })
    }
    const deleted = !flags['dry-run']
    await this.present({
      data: { topic: args.topic, deleted, partitions: rows },
      rows,
      columns: [
        { title: 'partition', align: 'right', value: row => row.partition },
        { title: 'started at', align: 'right', value: row => row.start },
        { title: deleted ? 'starts at' : 'would start at', align: 'right', value: row => row.before },
        { title: 'records', align: 'right', value: row => row.records },
      ],
    })
  }

  private async plan(
    admin: Admin,
    topic: string,
    wanted: readonly number[] | null,
    position: OffsetPosition,
  ): Promise<TrimRow[]> {
    const { signal } = this
    const offsets = await admin.fetchTopicOffsets(topic, { signal })
    const missing = wanted?.find(partition => !offsets.some(each => each.partition === partition))
    if (missing !== undefined)
      throw usageError(`${topic} has no partition ${missing}; it has ${offsets.length}.`)
    const chosen = offsets.filter(each => wanted?.includes(each.partition) ?? true)
    const found =
      position.kind === 'time'
        ? await admin.listOffsets({
            partitions: chosen.map(each => ({
              topic,
              partition: each.partition,
              spec: { timestamp: position.timestampMs },
            })),
            signal,
          })
        : []
    return chosen.map(({ partition, earliest, latest }) => {
      const atTime = found.find(each => each.partition === partition)?.offset ?? -1
      const target = resolveBefore(position, latest, atTime)
      const before = Math.min(latest, Math.max(earliest, target))
      return { partition, start: earliest, before, records: before - earliest }
    })
  }
}

/** `atTime` is -1 where every record is older than the time asked for: then all of them go. */
function resolveBefore(position: OffsetPosition, latest: number, atTime: number): number {
  switch (position.kind) {
    case 'start':
      return 0
    case 'end':
      return latest
    case 'offset':
      return position.offset
    case 'from-end':
      return latest - position.count
    case 'time':
      return atTime < 0 ? latest : atTime
    default:
      return position satisfies never
  }
}
