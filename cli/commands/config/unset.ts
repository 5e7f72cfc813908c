/** `sluice config unset`: gives configs back to their defaults. */
import { boolean } from '@oclif/core/flags'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags } from '../../base-command.ts'
import { describeTarget, parseConfigTarget } from '../../config-resource.ts'
import { usageError } from '../../errors.ts'
import { say } from '../../terminal.ts'

export class ConfigUnset extends BaseCommand {
  static override readonly summary = 'Give configs back to their defaults'
  static override readonly examples = ['$ sluice config unset topic orders retention.ms']
  static override readonly usage = 'config unset topic NAME|broker ID|brokers CONFIG…'
  static override readonly strict = false
  static override readonly args = {
    target: requiredArgument('topic NAME, broker ID, or brokers'),
  }
  static override readonly flags = {
    ...connectionFlags,
    'dry-run': boolean({ description: 'let the broker check it, and change nothing' }),
  }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(ConfigUnset)
    await this.use(flags)
    const { resource, rest } = parseConfigTarget(argv as string[])
    if (rest.length === 0) throw usageError('There is nothing to unset.', 'Name the configs, as retention.ms')
    const admin = await this.admin()
    await admin.incrementalAlterConfigs({
      resources: [{ ...resource, changes: rest.map(name => ({ name, op: 'delete' as const })) }],
      validateOnly: flags['dry-run'],
      signal: this.signal,
    })
    const names = rest.join(', ')
    say(
      flags['dry-run']
        ? `Checked by the broker; ${names} unchanged.`
        : `${names} of ${describeTarget(resource)} back to default.`,
    )
  }
}
