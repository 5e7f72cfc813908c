/** `sluice topic create`. */
import { boolean, integer, string } from '@oclif/core/flags'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { parseAssignments } from '../../config-arguments.ts'
import { say } from '../../terminal.ts'

export class TopicCreate extends BaseCommand {
  static override readonly summary = 'Create topics'
  static override readonly examples = [
    '$ sluice topic create orders -p 3',
    '$ sluice topic create audit -c retention.ms=-1 -c segment.bytes=268435456',
  ]
  static override readonly strict = false
  static override readonly args = {
    topic: requiredArgument('names of the topics'),
  }
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    partitions: integer({ char: 'p', min: 1, description: "number of partitions [the broker's default]" }),
    replicas: integer({
      char: 'r',
      min: 1,
      description: "replicas of each partition [the broker's default]",
    }),
    config: string({
      char: 'c',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'NAME=VALUE',
      description: 'config of the topics',
    }),
    'if-not-exists': boolean({ description: 'topics that are there already are fine' }),
    'dry-run': boolean({ description: 'let the broker check it, and create nothing' }),
  }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(TopicCreate)
    await this.use(flags)
    const configs = parseAssignments(flags.config ?? [])
    const admin = await this.admin()
    const created = await admin.createTopics({
      topics: (argv as string[]).map(topic => ({
        topic,
        configs,
        ...(flags.partitions === undefined ? {} : { partitions: flags.partitions }),
        ...(flags.replicas === undefined ? {} : { replicationFactor: flags.replicas }),
      })),
      validateOnly: flags['dry-run'],
      ifNotExists: flags['if-not-exists'],
      signal: this.signal,
    })
    if (flags['dry-run']) say('Checked by the broker; nothing was created.')
    await this.present({
      data: created,
      rows: created,
      columns: [
        { title: 'topic', value: row => row.topic },
        { title: 'partitions', align: 'right', value: row => (row.partitions < 0 ? null : row.partitions) },
        {
          title: 'replicas',
          align: 'right',
          value: row => (row.replicationFactor < 0 ? null : row.replicationFactor),
        },
        { title: 'created', value: row => row.created && !flags['dry-run'] },
        { title: 'id', wide: true, value: row => row.topicId },
      ],
    })
  }
}
