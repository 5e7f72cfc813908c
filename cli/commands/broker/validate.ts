/** `sluice broker validate`: reads a configuration as a broker would, and says what it comes to. */
import { boolean } from '@oclif/core/flags'
import { BaseCommand, outputFlags } from '../../base-command.ts'
import { brokerArguments, brokerFlags } from '../../broker-flags.ts'
import { CliError, ExitCode } from '../../errors.ts'
import { paint, say } from '../../terminal.ts'

export class BrokerValidate extends BaseCommand {
  static override readonly summary = 'Check the configuration of a broker without starting it'
  static override readonly examples = [
    '$ sluice broker validate --config server.properties',
    '$ sluice broker validate --set log.segment.bytes=1g --all',
  ]
  static override readonly flags = {
    ...outputFlags,
    ...brokerFlags,
    all: boolean({ description: 'show configs that have their default, too' }),
    strict: boolean({ description: 'take a warning as a failure' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(BrokerValidate)
    await this.use(flags)
    const [{ parseArguments, readConfig }, { BROKER_CONFIGS, createNodeEnv }] = await Promise.all([
      import('../../../broker/main.ts'),
      import('../../../broker/index.ts'),
    ])
    const loaded = await readConfig(createNodeEnv(), parseArguments(brokerArguments(flags))).catch(
      (error: unknown) => {
        if (!(error instanceof Error) || (error.name !== 'ConfigError' && error.name !== 'UsageError'))
          throw error
        throw new CliError({
          exitCode: ExitCode.FAILED,
          what: 'A broker would not start with this configuration.',
          means: error.message,
          cause: error,
        })
      },
    )
    const values = loaded.config.values as Readonly<Record<string, unknown>>
    const definitions: Readonly<
      Record<string, { readonly defaultText: string | null; readonly type: string; readonly doc: string }>
    > = BROKER_CONFIGS
    const rows = Object.entries(values)
      .map(([name, value]) => ({
        name,
        value: value !== null && definitions[name]?.type === 'password' ? HIDDEN : value,
        documentation: definitions[name]?.doc ?? null,
        isDefault: isDefault(definitions[name]?.defaultText ?? null, value),
      }))
      .filter(row => flags.all || !row.isDefault)
    for (const warning of loaded.warnings) say(`${paint(process.stderr, 'yellow', 'warning:')} ${warning}`)
    await this.present({
      data: {
        valid: true,
        warnings: loaded.warnings,
        configs: Object.fromEntries(rows.map(row => [row.name, row.value])),
      },
      rows,
      empty: 'Everything has its default.',
      columns: [
        { title: 'config', value: row => row.name },
        { title: 'value', value: row => (row.value === null ? null : String(row.value)) },
        { title: 'documentation', wide: true, value: row => row.documentation },
      ],
    })
    if (flags.strict && loaded.warnings.length > 0) {
      throw new CliError({ what: `There are ${loaded.warnings.length} warnings.` })
    }
  }
}

const HIDDEN = '[hidden]'

/** `standard` is the text that a file would have. */
function isDefault(standard: string | null, value: unknown): boolean {
  return (standard ?? '') === (Array.isArray(value) ? value.join(',') : String(value ?? ''))
}
