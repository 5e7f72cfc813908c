/** `sluice topic describe`: partitions with leaders, replicas, offsets and sizes, and the configs that were set. */
import { boolean } from '@oclif/core/flags'
import type { Admin, ConfigEntry } from '../../../client/index.ts'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { renderTable } from '../../output/present.ts'
import { writeOut } from '../../output/writer.ts'
import { bytes, count, paint } from '../../terminal.ts'

interface PartitionRow {
  readonly partition: number
  readonly leader: number
  readonly leaderEpoch: number
  readonly replicas: readonly number[]
  readonly isr: readonly number[]
  /** Eligible to lead though not in sync; null where the broker does not tell. */
  readonly elr: readonly number[] | null
  /** Records that each follower lacks of what is committed, by broker; those that tell. */
  readonly lag: Readonly<Record<string, number>>
  readonly start: number | null
  readonly end: number | null
  readonly sizeBytes: number | null
}

interface TopicDetails {
  readonly topic: string
  readonly topicId: string | null
  readonly internal: boolean
  readonly partitions: readonly PartitionRow[]
  readonly configs: Readonly<Record<string, string | null>>
}

export class TopicDescribe extends BaseCommand {
  static override readonly summary = 'Show partitions, offsets and configs of topics'
  static override readonly examples = [
    '$ sluice topic describe orders',
    '$ sluice topic describe orders -o yaml',
  ]
  static override readonly strict = false
  static override readonly args = { topic: requiredArgument('topics to describe') }
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    'all-configs': boolean({ description: 'show configs that have their default, too' }),
  }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(TopicDescribe)
    const settings = await this.use(flags)
    const admin = await this.admin()
    const details: TopicDetails[] = []
    for (const topic of argv as string[]) {
      try {
        details.push(await this.describe(admin, topic, flags['all-configs']))
      } catch (error) {
        this.fail(error)
      }
    }
    if (settings.output === 'json' || settings.output === 'yaml') {
      await this.present({ data: details, rows: [], columns: [] })
      return
    }
    for (const [index, topic] of details.entries()) {
      await writeOut(`${index === 0 ? '' : '\n'}${renderTopic(topic, settings.output === 'wide')}`)
    }
  }

  private async describe(admin: Admin, topic: string, allConfigs: boolean): Promise<TopicDetails> {
    const { signal } = this
    const [description] = await admin.describeTopics({ topics: [topic], includeElr: true, signal })
    const led = (description?.partitions ?? []).filter(({ leader }) => leader >= 0)
    const ask = (spec: 'earliest' | 'latest') =>
      admin.listOffsets({ partitions: led.map(({ partition }) => ({ topic, partition, spec })), signal })
    const [earliest, latest, configs, copies] = await Promise.all([
      ask('earliest'),
      ask('latest'),
      admin.describeConfigs({ resources: [{ type: 'topic', name: topic }], signal }),
      copiesOf(admin, topic, signal),
    ])
    const partitions = (description?.partitions ?? []).map(partition => {
      // Nobody knows the offsets of a partition that nobody leads.
      const index = led.indexOf(partition)
      return {
        partition: partition.partition,
        leader: partition.leader,
        leaderEpoch: partition.leaderEpoch,
        replicas: partition.replicas,
        isr: partition.isr,
        elr: partition.elr,
        lag: Object.fromEntries(
          partition.replicas
            .filter(replica => replica !== partition.leader)
            .map(replica => [replica, copies.get(`${replica}/${partition.partition}`)?.lag] as const)
            .filter((entry): entry is [number, number] => entry[1] !== undefined),
        ),
        start: earliest[index]?.offset ?? null,
        end: latest[index]?.offset ?? null,
        sizeBytes: copies.get(`${partition.leader}/${partition.partition}`)?.sizeBytes ?? null,
      }
    })
    const entries = (configs[0]?.entries ?? []).filter(entry => allConfigs || isSetOnTopic(entry))
    return {
      topic,
      topicId: description?.topicId ?? null,
      internal: description?.internal ?? false,
      partitions,
      configs: Object.fromEntries(entries.map(entry => [entry.name, entry.value])),
    }
  }
}

function isSetOnTopic(entry: ConfigEntry): boolean {
  return entry.source === 'topic' || (entry.source === 'unknown' && !entry.isDefault)
}

interface Copy {
  readonly sizeBytes: number
  readonly lag: number
}

/** What brokers have of a topic, by `broker/partition`; empty where the cluster does not tell. */
async function copiesOf(admin: Admin, topic: string, signal: AbortSignal): Promise<Map<string, Copy>> {
  try {
    const directories = await admin.describeLogDirs({ topics: [topic], signal })
    const copies = directories.flatMap(directory =>
      directory.replicas
        .filter(replica => replica.topic === topic)
        .map(({ partition, sizeBytes, offsetLag }) => {
          const copy: Copy = { sizeBytes, lag: offsetLag }
          return [`${directory.broker}/${partition}`, copy] as const
        }),
    )
    return new Map(copies)
  } catch {
    // They are an extra; describing the topic must not fail for want of the right to see them.
    return new Map()
  }
}

/** Of the followers that lack anything, as `2:150`. */
function lagText({ lag }: PartitionRow): string {
  const behind = Object.entries(lag).filter(([, records]) => records > 0)
  return behind.length === 0 ? '0' : behind.map(([broker, records]) => `${broker}:${records}`).join(' ')
}

function renderTopic(details: TopicDetails, wide: boolean): string {
  const { partitions, configs } = details
  const records = partitions.reduce((sum, row) => sum + ((row.end ?? 0) - (row.start ?? 0)), 0)
  const size = partitions.reduce((sum, row) => sum + (row.sizeBytes ?? 0), 0)
  const facts = [
    `${partitions.length} partition${partitions.length === 1 ? '' : 's'}`,
    `${count(records)} records`,
    bytes(size),
  ]
  const heading = `${paint(process.stdout, 'bold', details.topic)}  ${facts.join(', ')}${wide ? `, id ${details.topicId ?? '-'}` : ''}\n`
  const settings = Object.entries(configs).map(([name, value]) => `  ${name}=${value ?? ''}\n`)
  const table = renderTable(
    [
      { title: 'partition', align: 'right', value: row => row.partition },
      { title: 'leader', align: 'right', value: row => (row.leader < 0 ? 'none' : row.leader) },
      ...(wide
        ? [{ title: 'epoch', align: 'right' as const, value: (row: PartitionRow) => row.leaderEpoch }]
        : []),
      { title: 'replicas', value: row => row.replicas.join(',') },
      { title: 'isr', value: row => row.isr.join(',') },
      ...(wide || partitions.some(({ elr }) => (elr ?? []).length > 0)
        ? [{ title: 'elr', value: (row: PartitionRow) => row.elr?.join(',') ?? null }]
        : []),
      ...(wide || partitions.some(({ isr, replicas }) => isr.length < replicas.length)
        ? [{ title: 'lag', value: lagText }]
        : []),
      { title: 'start', align: 'right', value: row => row.start },
      { title: 'end', align: 'right', value: row => row.end },
      { title: 'size', align: 'right', value: row => (row.sizeBytes === null ? null : bytes(row.sizeBytes)) },
    ],
    partitions,
    text => paint(process.stdout, 'dim', text),
  )
  return heading + settings.join('') + table
}
