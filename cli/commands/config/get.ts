/** `sluice config get`: configs with their values and where these come from. */
import { boolean } from '@oclif/core/flags'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { parseConfigTarget } from '../../config-resource.ts'
import { CliError } from '../../errors.ts'

export class ConfigGet extends BaseCommand {
  static override readonly summary = 'Show configs of a topic or a broker'
  static override readonly examples = [
    '$ sluice config get topic orders',
    '$ sluice config get topic orders retention.ms segment.bytes',
    '$ sluice config get broker 1 --set -o wide',
  ]
  static override readonly usage = 'config get topic NAME|broker ID|brokers [CONFIG…]'
  static override readonly strict = false
  static override readonly args = {
    target: requiredArgument('topic NAME, broker ID, or brokers'),
  }
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    set: boolean({ description: 'only those that do not have their default' }),
  }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(ConfigGet)
    await this.use(flags)
    const { resource, rest } = parseConfigTarget(argv as string[])
    const admin = await this.admin()
    const [description] = await admin.describeConfigs({
      resources: [{ ...resource, ...(rest.length === 0 ? {} : { names: rest }) }],
      includeDocumentation: true,
      includeSynonyms: true,
      signal: this.signal,
    })
    const entries = description?.entries ?? []
    const missing = rest.filter(name => !entries.some(entry => entry.name === name))
    const shown = entries.filter(entry => !flags.set || !entry.isDefault)
    await this.present({
      data: shown,
      rows: shown,
      empty: 'Nothing is set: all configs have their defaults.',
      columns: [
        { title: 'config', value: row => row.name },
        { title: 'value', value: row => (row.sensitive ? '(hidden)' : row.value) },
        { title: 'source', value: row => row.source },
        { title: 'type', wide: true, value: row => row.type },
        { title: 'read only', wide: true, value: row => row.readOnly },
        { title: 'documentation', wide: true, value: row => row.documentation },
      ],
    })
    if (missing.length > 0) throw new CliError({ what: `There is no config ${missing.join(', ')}.` })
  }
}
