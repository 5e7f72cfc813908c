/** `sluice topic offsets`: where each partition starts and ends, and where a time lies in it. */
import { string } from '@oclif/core/flags'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { usageError } from '../../errors.ts'
import { parseOffset } from '../../records/offset.ts'

interface OffsetRow {
  readonly topic: string
  readonly partition: number
  readonly start: number
  readonly end: number
  readonly records: number
  /** Of the first record at or after the time; null where there is none. Absent when no time was asked for. */
  readonly atTime?: number | null
}

export class TopicOffsets extends BaseCommand {
  static override readonly summary = 'Show where the partitions of topics start and end'
  static override readonly examples = [
    '$ sluice topic offsets orders',
    '$ sluice topic offsets orders --at @2026-01-31T12:00',
  ]
  static override readonly strict = false
  static override readonly args = {
    topic: requiredArgument('names of the topics'),
  }
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    at: string({ helpValue: '@TIME', description: 'also show the first offset at or after this time' }),
  }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(TopicOffsets)
    await this.use(flags)
    const at = flags.at === undefined ? null : parseOffset(flags.at.replace(/^@?/, '@'), Date.now())
    if (at !== null && at.kind !== 'time') throw usageError('--at wants a time, as @2026-01-31T12:00 or @1h.')
    const admin = await this.admin()
    const rows: OffsetRow[] = []
    for (const topic of argv as string[]) {
      try {
        const offsets = await admin.fetchTopicOffsets(topic, { signal: this.signal })
        const partitions = offsets.map(({ partition }) => ({
          topic,
          partition,
          spec: { timestamp: at?.timestampMs ?? 0 },
        }))
        const found = at === null ? null : await admin.listOffsets({ partitions, signal: this.signal })
        for (const { partition, earliest, latest } of offsets) {
          const offset = found?.find(each => each.partition === partition)?.offset ?? -1
          const row = { topic, partition, start: earliest, end: latest, records: latest - earliest }
          rows.push(found === null ? row : { ...row, atTime: offset < 0 ? null : offset })
        }
      } catch (error) {
        this.fail(error)
      }
    }
    await this.present({
      data: rows,
      rows,
      columns: [
        { title: 'topic', value: row => row.topic },
        { title: 'partition', align: 'right', value: row => row.partition },
        { title: 'start', align: 'right', value: row => row.start },
        { title: 'end', align: 'right', value: row => row.end },
        { title: 'records', align: 'right', value: row => row.records },
        ...(at === null
          ? []
          : [{ title: 'at time', align: 'right' as const, value: (row: OffsetRow) => row.atTime ?? null }]),
      ],
    })
  }
}
