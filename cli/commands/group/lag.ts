/** `sluice group lag`: how far groups are behind, by partition, and who reads it. */
import { string } from '@oclif/core/flags'
import type { Admin, GroupLag as Lag } from '../../../client/index.ts'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { committedLag, groupOrNull, offsetsOfGone } from '../../group-offsets.ts'
import { say } from '../../terminal.ts'

interface LagRow extends Omit<Lag, 'committed'> {
  readonly group: string
  /** Null where nothing is committed. */
  readonly committed: number | null
  /** Member that reads it now. */
  readonly member: string | null
}

export class GroupLag extends BaseCommand {
  static override readonly summary = 'Show how far groups are behind'
  static override readonly examples = [
    '$ sluice group lag billing',
    '$ sluice group lag billing --topic orders -o json',
  ]
  static override readonly strict = false
  static override readonly args = { group: requiredArgument('groups to look at') }
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    topic: string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'TOPIC',
      description: 'these topics, with partitions of which nothing is committed; default: all committed',
    }),
  }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(GroupLag)
    await this.use(flags)
    const admin = await this.admin()
    const rows: LagRow[] = []
    for (const group of argv as string[]) {
      try {
        rows.push(...(await this.lagOf(admin, group, flags.topic)))
      } catch (error) {
        this.fail(error)
      }
    }
    await this.present({
      data: rows,
      rows,
      empty: 'Nothing is committed, or only for topics that were deleted since.',
      columns: [
        { title: 'group', value: row => row.group },
        { title: 'topic', value: row => row.topic },
        { title: 'partition', align: 'right', value: row => row.partition },
        { title: 'committed', align: 'right', value: row => row.committed },
        { title: 'start', align: 'right', wide: true, value: row => row.earliest },
        { title: 'end', align: 'right', value: row => row.end },
        { title: 'lag', align: 'right', value: row => row.lag },
        { title: 'member', value: row => row.member },
      ],
    })
  }

  private async lagOf(admin: Admin, group: string, topics: string[] | undefined): Promise<LagRow[]> {
    const { signal } = this
    const { lags, gone } =
      topics === undefined
        ? await committedLag(admin, group, signal)
        : { lags: await admin.groupLag({ groupId: group, topics, signal }), gone: [] }
    if (gone.length > 0) say(offsetsOfGone(group, gone))
    // A group that does not exist has no offsets either: only the description tells.
    const described =
      lags.length === 0 && gone.length === 0
        ? (await admin.describeGroups({ groups: [group], signal }))[0]
        : await groupOrNull(admin, group, signal)
    return lags.map(each => {
      const member = described?.members.find(({ assignment }) =>
        assignment.some(({ topic, partition }) => topic === each.topic && partition === each.partition),
      )
      return {
        group,
        ...each,
        committed: each.committed < 0 ? null : each.committed,
        member: member?.groupInstanceId ?? member?.memberId ?? null,
      }
    })
  }
}
