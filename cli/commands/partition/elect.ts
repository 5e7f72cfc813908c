/** `sluice partition elect`: has partitions elect their preferred leader, or any live one (ElectLeaders). */
import { boolean } from '@oclif/core/flags'
import { optionalArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { usageError } from '../../errors.ts'
import { namedPartitions } from '../../partitions.ts'
import { confirm } from '../../terminal.ts'

export class PartitionElect extends BaseCommand {
  static override readonly summary = 'Elect leaders of partitions'
  static override readonly description =
    'Without a flag the preferred replica, which is the first, becomes the leader again; brokers do that by themselves ' +
    'after a while. --unclean makes any live replica the leader of a partition that nobody leads: records that only ' +
    'the others have are lost.'
  static override readonly examples = [
    '$ sluice partition elect orders',
    '$ sluice partition elect --all',
    '$ sluice partition elect orders:3 --unclean',
  ]
  static override readonly strict = false
  static override readonly args = { partitions: optionalArgument('TOPIC, TOPIC:N or TOPIC:N,N') }
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    all: boolean({ description: 'all partitions' }),
    unclean: boolean({ description: 'any live replica, where nobody leads: may lose records' }),
    yes: boolean({ char: 'y', description: 'do it without asking' }),
  }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(PartitionElect)
    await this.use(flags)
    const named = argv as string[]
    if (flags.all === named.length > 0) throw usageError('Name partitions, or say --all.')
    const admin = await this.admin()
    const { signal } = this
    if (flags.unclean) await confirm('Elect replicas that may lack acknowledged records?', flags.yes)
    const elected = await admin.electLeaders({
      type: flags.unclean ? 'unclean' : 'preferred',
      ...(flags.all ? {} : { partitions: await namedPartitions(admin, named, signal) }),
      signal,
    })
    await this.present({
      data: elected,
      rows: elected,
      empty: 'Every partition has the leader that it should have.',
      columns: [
        { title: 'topic', value: row => row.topic },
        { title: 'partition', align: 'right', value: row => row.partition },
        { title: 'elected', value: row => (row.elected ? 'yes' : 'not needed') },
      ],
    })
  }
}
