/** `sluice partition leader`: who leads partitions, and who should. */
import type { TopicDescription } from '../../../client/index.ts'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { namedPartitions } from '../../partitions.ts'

export class PartitionLeader extends BaseCommand {
  static override readonly summary = 'Show who leads partitions'
  static override readonly examples = [
    '$ sluice partition leader orders',
    '$ sluice partition leader orders:0,2',
  ]
  static override readonly strict = false
  static override readonly args = { partitions: requiredArgument('TOPIC, TOPIC:N or TOPIC:N,N') }
  static override readonly flags = { ...connectionFlags, ...outputFlags }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(PartitionLeader)
    await this.use(flags)
    const admin = await this.admin()
    const { signal } = this
    const wanted = await namedPartitions(admin, argv as string[], signal)
    const topics = await admin.describeTopics({
      topics: [...new Set(wanted.map(({ topic }) => topic))],
      includeElr: true,
      signal,
    })
    const rows = wanted.map(({ topic, partition }) => rowOf(topics, topic, partition))
    await this.present({
      data: rows,
      rows,
      columns: [
        { title: 'topic', value: row => row.topic },
        { title: 'partition', align: 'right', value: row => row.partition },
        { title: 'leader', align: 'right', value: row => row.leader ?? 'none' },
        { title: 'preferred', align: 'right', value: row => row.preferred },
        { title: 'epoch', align: 'right', value: row => row.leaderEpoch },
        { title: 'isr', value: row => row.isr.join(',') },
        { title: 'elr', value: row => row.elr?.join(',') ?? null },
      ],
    })
  }
}

function rowOf(topics: readonly TopicDescription[], topic: string, partition: number) {
  const found = topics.find(each => each.topic === topic)!.partitions[partition]!
  const { leader, leaderEpoch, replicas, isr, elr, lastKnownElr } = found
  return {
    topic,
    partition,
    leader: leader < 0 ? null : leader,
    preferred: replicas[0] ?? null,
    leaderEpoch,
    isr,
    elr,
    lastKnownElr,
  }
}
