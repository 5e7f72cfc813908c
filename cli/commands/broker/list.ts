/** `sluice broker list`: the brokers of the cluster, with what they lead and hold. */
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { addressOf, brokerRows } from '../../cluster/brokers.ts'
import { bytes } from '../../terminal.ts'

export class BrokerList extends BaseCommand {
  static override readonly summary = 'List the brokers of the cluster'
  static override readonly examples = ['$ sluice broker list', '$ sluice broker list -o json']
  static override readonly flags = { ...connectionFlags, ...outputFlags }

  async run(): Promise<void> {
    const { flags } = await this.parse(BrokerList)
    await this.use(flags)
    const rows = await brokerRows(await this.admin(), this.signal)
    await this.present({
      data: rows,
      rows,
      columns: [
        { title: 'broker', align: 'right', value: row => row.id },
        { title: 'address', value: row => addressOf(row) },
        { title: 'rack', value: row => row.rack },
        { title: 'state', value: row => (row.fenced ? 'fenced' : 'active') },
        { title: 'controller', value: row => row.controller },
        { title: 'leads', align: 'right', value: row => row.leads },
        { title: 'replicas', align: 'right', value: row => row.replicas },
        { title: 'in sync', align: 'right', value: row => row.inSync },
        {
          title: 'data',
          align: 'right',
          value: row => (row.sizeBytes === null ? null : bytes(row.sizeBytes)),
        },
      ],
    })
  }
}
