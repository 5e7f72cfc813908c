/** `sluice group delete`: with the offsets it has committed, after a question. */
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags, destructiveFlags } from '../../base-command.ts'
import { confirm, say } from '../../terminal.ts'

export class GroupDelete extends BaseCommand {
  static override readonly summary = 'Delete groups with the offsets they have committed'
  static override readonly description = 'Groups that have members are refused: stop their consumers first.'
  static override readonly examples = [
    '$ sluice group delete billing',
    '$ sluice group delete billing audit --yes',
  ]
  static override readonly strict = false
  static override readonly args = { group: requiredArgument('names of the groups') }
  static override readonly flags = { ...connectionFlags, ...destructiveFlags }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(GroupDelete)
    await this.use(flags)
    const groups = argv as string[]
    const admin = await this.admin()
    if (flags['dry-run']) {
      const present = new Set((await admin.listGroups({ signal: this.signal })).map(each => each.groupId))
      const there = groups.filter(group => present.has(group))
      const missing = groups.filter(group => !present.has(group))
      if (there.length > 0) say(`Would delete ${there.join(', ')}.`)
      if (missing.length > 0) say(`There is no group ${missing.join(', ')}.`)
      return
    }
    await confirm(`Delete ${groups.join(', ')} with all committed offsets?`, flags.yes)
    for (const group of groups) {
      try {
        await admin.deleteGroups({ groups: [group], signal: this.signal })
        say(`Deleted ${group}.`)
      } catch (error) {
        this.fail(error)
      }
    }
  }
}
