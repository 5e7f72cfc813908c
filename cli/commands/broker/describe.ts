/** `sluice broker describe`: one broker, with what was configured on it. */
import { integer } from '@oclif/core/args'
import { boolean } from '@oclif/core/flags'
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { addressOf, type BrokerRow, brokerRows } from '../../cluster/brokers.ts'
import { CliError } from '../../errors.ts'
import { renderTable } from '../../output/present.ts'
import { writeOut } from '../../output/writer.ts'
import { bytes, paint } from '../../terminal.ts'

interface ConfigRow {
  readonly name: string
  readonly value: string | null
  readonly source: string
}

export class BrokerDescribe extends BaseCommand {
  static override readonly summary = 'Show one broker and its configs'
  static override readonly examples = [
    '$ sluice broker describe 2',
    '$ sluice broker describe 2 --all-configs',
  ]
  static override readonly args = {
    broker: integer({ required: true, ignoreStdin: true, description: 'id of the broker' }),
  }
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    'all-configs': boolean({ description: 'show configs that have their default, too' }),
  }

  async run(): Promise<void> {
    const { flags, args } = await this.parse(BrokerDescribe)
    const settings = await this.use(flags)
    const admin = await this.admin()
    const { signal } = this
    const rows = await brokerRows(admin, signal)
    const broker = rows.find(({ id }) => id === args.broker)
    if (broker === undefined) {
      throw new CliError({
        what: `There is no broker ${args.broker}.`,
        means: `The cluster knows ${rows.map(({ id }) => id).join(', ')}.`,
        advice: ['sluice broker list'],
      })
    }
    // Only the broker itself knows what it was started with.
    const resources = broker.fenced ? [] : [{ type: 'broker' as const, name: String(broker.id) }]
    const [described] = resources.length === 0 ? [] : await admin.describeConfigs({ resources, signal })
    const configs = (described?.entries ?? [])
      .filter(({ isDefault }) => flags['all-configs'] || !isDefault)
      .map(({ name, value, source, sensitive }) => ({ name, value: sensitive ? '[hidden]' : value, source }))
    if (settings.output === 'json' || settings.output === 'yaml') {
      await this.present({ data: { ...broker, configs }, rows: [], columns: [] })
      return
    }
    await writeOut(render(broker, configs))
  }
}

function render(broker: BrokerRow, configs: readonly ConfigRow[]): string {
  const { id, rack, fenced, controller, leads, replicas, inSync, sizeBytes } = broker
  const state = fenced ? paint(process.stdout, 'red', 'fenced') : 'active'
  const facts = [
    addressOf(broker) ?? 'nobody knows where',
    ...(rack === null ? [] : [`rack ${rack}`]),
    state,
    ...(controller ? ['controller'] : []),
  ]
  const holds = [
    `leads ${leads} partitions`,
    `has ${replicas} replicas, ${inSync} in sync`,
    ...(sizeBytes === null ? [] : [bytes(sizeBytes)]),
  ]
  const heading = `${paint(process.stdout, 'bold', `broker ${id}`)}  ${facts.join(', ')}\n${holds.join(', ')}\n`
  if (configs.length === 0) return heading
  const table = renderTable(
    [
      { title: 'config', value: row => row.name },
      { title: 'value', value: row => row.value },
      { title: 'set', value: row => row.source },
    ],
    configs,
    text => paint(process.stdout, 'dim', text),
  )
  return `${heading}\n${table}`
}
