/** `sluice group seek`: sets the offsets a group has committed, after a question. */
import { string } from '@oclif/core/flags'
import type { Admin, PartitionOfTopic } from '../../../client/index.ts'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags, destructiveFlags, outputFlags } from '../../base-command.ts'
import { CliError, usageError } from '../../errors.ts'
import { committedLag, groupOrNull, offsetsOfGone } from '../../group-offsets.ts'
import { parseSeek, resolveSeek, type SeekTarget } from '../../records/shift.ts'
import { confirm, say } from '../../terminal.ts'

interface SeekRow extends PartitionOfTopic {
  /** Null where nothing was committed. */
  readonly before: number | null
  readonly after: number
  /** Records to read then. */
  readonly lag: number
}

export class GroupSeek extends BaseCommand {
  static override readonly summary = 'Set where a group goes on'
  static override readonly description =
    `The group must have no members: stop its consumers first. Offsets outside of
a partition are moved to its start or end. --by with a time counts from now, as --to @TIME does.`
  static override readonly examples = [
    '$ sluice group seek billing --to start',
    '$ sluice group seek billing --to @2026-01-31T12:00 --topic orders --dry-run',
    '$ sluice group seek billing --by -100        the last 100 records of each partition once more',
    '$ sluice group seek billing --by -15m        the last 15 minutes once more',
  ]
  static override readonly args = { group: requiredArgument('name of the group') }
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    ...destructiveFlags,
    to: string({
      helpValue: 'start|end|OFFSET|@TIME',
      description: 'go on here; -N is N records before the end',
    }),
    by: string({
      helpValue: '-N|+N|-DURATION',
      description: 'go back, or forward, by so many records; or back by a time (-15m)',
    }),
    topic: string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'TOPIC',
      description: 'only these topics, with all of their partitions; default: all that is committed',
    }),
  }

  async run(): Promise<void> {
    const { flags, args } = await this.parse(GroupSeek)
    await this.use(flags)
    const target = parseSeek(flags.to, flags.by, Date.now())
    const { group } = args
    const admin = await this.admin()
    const rows = await this.plan(admin, group, flags.topic, target)
    if (!flags['dry-run']) {
      const described = await groupOrNull(admin, group, this.signal)
      if (described !== null && described.members.length > 0)
        throw hasMembers(group, described.members.length)
      await confirm(`Set the offsets of ${group} in ${rows.length} partition(s)?`, flags.yes)
      await admin.setOffsets({
        groupId: group,
        offsets: rows.map(({ topic, partition, after }) => ({ topic, partition, offset: after })),
        signal: this.signal,
      })
    }
    const changed = !flags['dry-run']
    await this.present({
      data: { group, changed, partitions: rows },
      rows,
      columns: [
        { title: 'topic', value: row => row.topic },
        { title: 'partition', align: 'right', value: row => row.partition },
        { title: 'was', align: 'right', value: row => row.before },
        { title: changed ? 'is' : 'would be', align: 'right', value: row => row.after },
        { title: 'lag', align: 'right', value: row => row.lag },
      ],
    })
  }

  private async plan(
    admin: Admin,
    group: string,
    topics: string[] | undefined,
    target: SeekTarget,
  ): Promise<SeekRow[]> {
    const { signal } = this
    const { lags: places, gone } =
      topics === undefined
        ? await committedLag(admin, group, signal)
        : { lags: await admin.groupLag({ groupId: group, topics, signal }), gone: [] }
    if (gone.length > 0) say(offsetsOfGone(group, gone))
    if (places.length === 0)
      throw usageError(
        `Group ${group} has committed nothing, or only for topics that were deleted since.`,
        'Name the topics with --topic TOPIC.',
      )
    const found =
      target.kind === 'time'
        ? await admin.listOffsets({
            partitions: places.map(({ topic, partition }) => ({
              topic,
              partition,
              spec: { timestamp: target.timestampMs },
            })),
            signal,
          })
        : []
    return places.map(({ topic, partition, committed, earliest, end }, index) => {
      const after = resolveSeek(target, { committed, earliest, end, atTime: found[index]?.offset ?? -1 })
      return { topic, partition, before: committed < 0 ? null : committed, after, lag: end - after }
    })
  }
}

function hasMembers(group: string, members: number): CliError {
  return new CliError({
    what: `Group ${group} has ${members} member${members === 1 ? '' : 's'}.`,
    means: 'They would not notice, and commit over it; nothing was changed.',
    advice: ['Stop its consumers first; sluice group describe shows who they are.'],
  })
}
