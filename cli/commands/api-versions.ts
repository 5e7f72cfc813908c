/** `sluice api-versions`: which APIs a broker serves, in which versions, and which of them our client would use. */
import { integer } from '@oclif/core/flags'
import { BaseCommand, connectionFlags, outputFlags } from '../base-command.ts'

export class ApiVersions extends BaseCommand {
  static override readonly summary = 'Show which APIs the brokers serve'
  static override readonly examples = ['$ sluice api-versions', '$ sluice api-versions --broker 1 -o json']
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    broker: integer({ min: 0, description: 'only this broker' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(ApiVersions)
    await this.use(flags)
    const admin = await this.admin()
    const brokers = await admin.apiVersions({
      ...(flags.broker === undefined ? {} : { broker: flags.broker }),
      signal: this.signal,
    })
    const rows = brokers.flatMap(({ broker, apis }) => apis.map(api => ({ broker: broker.id, ...api })))
    await this.present({
      data: brokers,
      rows,
      columns: [
        ...(brokers.length > 1
          ? [{ title: 'broker', align: 'right' as const, value: (row: { broker: number }) => row.broker }]
          : []),
        { title: 'key', align: 'right', value: row => row.apiKey },
        { title: 'api', value: row => row.name ?? '(unknown to this client)' },
        { title: 'min', align: 'right', value: row => row.minVersion },
        { title: 'max', align: 'right', value: row => row.maxVersion },
        { title: 'used', align: 'right', value: row => row.usedVersion },
      ],
    })
  }
}
