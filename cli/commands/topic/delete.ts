/** `sluice topic delete`: with all its records, after a question. */
import { boolean } from '@oclif/core/flags'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags, destructiveFlags } from '../../base-command.ts'
import { confirm, say } from '../../terminal.ts'

export class TopicDelete extends BaseCommand {
  static override readonly summary = 'Delete topics with all their records'
  static override readonly examples = [
    '$ sluice topic delete orders',
    '$ sluice topic delete orders audit --yes',
  ]
  static override readonly strict = false
  static override readonly args = { topic: requiredArgument('names of the topics') }
  static override readonly flags = {
    ...connectionFlags,
    ...destructiveFlags,
    'if-exists': boolean({ description: 'topics that are not there are fine' }),
  }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(TopicDelete)
    await this.use(flags)
    const topics = argv as string[]
    const admin = await this.admin()
    const names = topics.join(', ')
    if (flags['dry-run']) {
      const present = new Set(
        (await admin.listTopics({ internal: true, signal: this.signal })).map(each => each.topic),
      )
      const there = topics.filter(topic => present.has(topic))
      const missing = topics.filter(topic => !present.has(topic))
      if (there.length > 0) say(`Would delete ${there.join(', ')}.`)
      if (missing.length > 0) say(`There is no topic ${missing.join(', ')}.`)
      return
    }
    await confirm(`Delete ${names} with all records?`, flags.yes)
    const deleted = await admin.deleteTopics({ topics, ifExists: flags['if-exists'], signal: this.signal })
    say(deleted.length === 0 ? 'Nothing to delete.' : `Deleted ${deleted.join(', ')}.`)
  }
}
