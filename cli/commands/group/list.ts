/** `sluice group list`. */
import { string } from '@oclif/core/flags'
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'

export class GroupList extends BaseCommand {
  static override readonly summary = 'List consumer groups'
  static override readonly examples = ['$ sluice group list', '$ sluice group list --state Stable -o json']
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    state: string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'STATE',
      description: 'only groups in this state: Stable, Empty, PreparingRebalance, …',
    }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(GroupList)
    await this.use(flags)
    const admin = await this.admin()
    const groups = await admin.listGroups({ states: flags.state ?? [], signal: this.signal })
    await this.present({
      data: groups,
      rows: groups,
      empty: 'There are no groups. A consumer makes one: sluice consume TOPIC --group NAME',
      columns: [
        { title: 'group', value: row => row.groupId },
        { title: 'state', value: row => row.state },
        { title: 'type', value: row => row.type },
        { title: 'coordinator', align: 'right', value: row => row.coordinator },
        { title: 'protocol', wide: true, value: row => row.protocolType || null },
      ],
    })
  }
}
