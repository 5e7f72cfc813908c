/** `sluice group describe`: state of groups, their members, and what each of them reads. */
import type { GroupDescription, GroupMember } from '../../../client/index.ts'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { partitionList } from '../../group-offsets.ts'
import { renderTable } from '../../output/present.ts'
import { writeOut } from '../../output/writer.ts'
import { paint } from '../../terminal.ts'

export class GroupDescribe extends BaseCommand {
  static override readonly summary = 'Show the state and members of groups'
  static override readonly examples = [
    '$ sluice group describe billing',
    '$ sluice group describe billing -o yaml',
  ]
  static override readonly strict = false
  static override readonly args = { group: requiredArgument('groups to describe') }
  static override readonly flags = { ...connectionFlags, ...outputFlags }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(GroupDescribe)
    const settings = await this.use(flags)
    const admin = await this.admin()
    const found: GroupDescription[] = []
    for (const group of argv as string[]) {
      try {
        found.push(...(await admin.describeGroups({ groups: [group], signal: this.signal })))
      } catch (error) {
        this.fail(error)
      }
    }
    if (settings.output === 'json' || settings.output === 'yaml') {
      await this.present({ data: found, rows: [], columns: [] })
      return
    }
    for (const [index, group] of found.entries()) {
      await writeOut(`${index === 0 ? '' : '\n'}${renderGroup(group, settings.output === 'wide')}`)
    }
  }
}

function renderGroup(group: GroupDescription, wide: boolean): string {
  const { members } = group
  const facts = [
    group.state,
    `${group.type} protocol`,
    ...(group.assignor === '' ? [] : [`assignor ${group.assignor}`]),
    ...(group.groupEpoch === null ? [] : [`epoch ${group.groupEpoch}`]),
    `coordinator ${group.coordinator}`,
    `${members.length} member${members.length === 1 ? '' : 's'}`,
  ]
  const heading = `${paint(process.stdout, 'bold', group.groupId)}  ${facts.join(', ')}\n`
  if (members.length === 0) return heading
  const table = renderTable<GroupMember>(
    [
      { title: 'member', value: row => row.groupInstanceId ?? row.memberId },
      { title: 'client', value: row => row.clientId },
      { title: 'host', value: row => row.clientHost },
      { title: 'partitions', value: row => partitionList(row.assignment) },
      ...(wide
        ? [
            { title: 'epoch', align: 'right' as const, value: (row: GroupMember) => row.memberEpoch },
            {
              title: 'target',
              value: (row: GroupMember) =>
                row.targetAssignment === null ? null : partitionList(row.targetAssignment),
            },
            { title: 'subscribed', value: (row: GroupMember) => row.pattern ?? row.topics.join(',') },
            { title: 'member id', value: (row: GroupMember) => row.memberId },
          ]
        : []),
    ],
    members,
    text => paint(process.stdout, 'dim', text),
  )
  return heading + table
}
