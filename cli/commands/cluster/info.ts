/** `sluice cluster info`: brokers, controller, how much they hold. */
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { addressOf } from '../../cluster/brokers.ts'
import { writeOut } from '../../output/writer.ts'
import { bytes } from '../../terminal.ts'

export class ClusterInfo extends BaseCommand {
  static override readonly summary = 'Show the cluster and its brokers'
  static override readonly examples = [
    '$ sluice cluster info',
    '$ sluice cluster info -b broker-1:9092 -o json',
  ]
  static override readonly flags = { ...connectionFlags, ...outputFlags }

  async run(): Promise<void> {
    const { flags } = await this.parse(ClusterInfo)
    const settings = await this.use(flags)
    const admin = await this.admin()
    const { signal } = this
    const [cluster, topics, directories] = await Promise.all([
      admin.describeCluster({ includeFenced: true, signal }),
      admin.listTopics({ signal }),
      admin.describeLogDirs({ signal }).catch(() => []),
    ])
    const brokers = cluster.brokers.map(broker => {
      const own = directories.filter(directory => directory.broker === broker.id)
      const replicas = own.flatMap(directory => directory.replicas)
      return {
        ...broker,
        controller: broker.id === cluster.controllerId,
        replicas: own.length === 0 ? null : replicas.length,
        sizeBytes: own.length === 0 ? null : replicas.reduce((sum, replica) => sum + replica.sizeBytes, 0),
      }
    })
    const partitions = topics.reduce((sum, topic) => sum + topic.partitions, 0)
    if (settings.output === 'table' || settings.output === 'wide') {
      const facts = `${cluster.brokers.length} broker(s), ${topics.length} topics, ${partitions} partitions`
      await writeOut(`cluster ${cluster.clusterId ?? '-'}: ${facts}\n\n`)
    }
    await this.present({
      data: {
        clusterId: cluster.clusterId,
        controllerId: cluster.controllerId,
        topics: topics.length,
        partitions,
        brokers,
      },
      rows: brokers,
      columns: [
        { title: 'broker', align: 'right', value: row => row.id },
        { title: 'address', value: row => addressOf(row) },
        { title: 'rack', value: row => row.rack },
        { title: 'state', value: row => (row.fenced ? 'fenced' : 'active') },
        { title: 'controller', value: row => row.controller },
        { title: 'replicas', align: 'right', value: row => row.replicas },
        {
          title: 'data',
          align: 'right',
          value: row => (row.sizeBytes === null ? null : bytes(row.sizeBytes)),
        },
      ],
    })
  }
}
