/** `sluice topic add-partitions`: more partitions; there is no way back, and keys move. */
import { boolean, integer } from '@oclif/core/flags'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags } from '../../base-command.ts'
import { CliError } from '../../errors.ts'
import { say } from '../../terminal.ts'

export class TopicAddPartitions extends BaseCommand {
  static override readonly summary = 'Add partitions to a topic'
  static override readonly description =
    'Adds partitions to a topic. Partitions cannot be taken away again, and records of a key that come from now on ' +
    'may go to another partition than those before.'
  static override readonly examples = [
    '$ sluice topic add-partitions orders --to 6',
    '$ sluice topic add-partitions orders --by 3',
  ]
  static override readonly args = { topic: requiredArgument('name of the topic') }
  static override readonly flags = {
    ...connectionFlags,
    to: integer({ min: 1, exactlyOne: ['to', 'by'], description: 'how many there shall be in all' }),
    by: integer({ min: 1, description: 'how many to add' }),
    'dry-run': boolean({ description: 'let the broker check it, and add nothing' }),
  }

  async run(): Promise<void> {
    const { flags, args } = await this.parse(TopicAddPartitions)
    await this.use(flags)
    const admin = await this.admin()
    const [description] = await admin.describeTopics({ topics: [args.topic], signal: this.signal })
    const now = description?.partitions.length ?? 0
    const wanted = flags.to ?? now + (flags.by ?? 0)
    if (wanted <= now) {
      throw new CliError({
        what: `${args.topic} has ${now} partitions already.`,
        means: 'Partitions can be added, never taken away.',
        advice: [`Ask for more than ${now}.`],
      })
    }
    await admin.createPartitions({
      topics: [{ topic: args.topic, count: wanted }],
      validateOnly: flags['dry-run'],
      signal: this.signal,
    })
    say(
      flags['dry-run']
        ? `Would go from ${now} to ${wanted} partitions.`
        : `${args.topic} has ${wanted} partitions now, ${now} before.`,
    )
  }
}
