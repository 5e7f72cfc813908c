/** `sluice topic list`. */
import { boolean, string } from '@oclif/core/flags'
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { usageError } from '../../errors.ts'

export class TopicList extends BaseCommand {
  static override readonly summary = 'List topics'
  static override readonly examples = ['$ sluice topic list', "$ sluice topic list --match '^orders' -o json"]
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    internal: boolean({ description: 'show internal topics too' }),
    match: string({ char: 'm', helpValue: 'REGEX', description: 'only topics whose name matches' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(TopicList)
    await this.use(flags)
    const pattern = flags.match === undefined ? null : toRegExp(flags.match)
    const admin = await this.admin()
    const all = await admin.listTopics({ internal: flags.internal, signal: this.signal })
    const topics = all.filter(({ topic }) => pattern?.test(topic) ?? true)
    await this.present({
      data: topics,
      rows: topics,
      empty: 'There are no topics. Make one with: sluice topic create NAME',
      columns: [
        { title: 'topic', value: row => row.topic },
        { title: 'partitions', align: 'right', value: row => row.partitions },
        { title: 'replicas', align: 'right', value: row => row.replicationFactor },
        { title: 'internal', wide: true, value: row => row.internal },
        { title: 'id', wide: true, value: row => row.topicId },
      ],
    })
  }
}

function toRegExp(text: string): RegExp {
  try {
    return new RegExp(text)
  } catch (error) {
    throw usageError(`--match is no regular expression: ${(error as Error).message}`)
  }
}
