/** `sluice config set`: sets configs of a topic or a broker; the others stay as they are. */
import { boolean } from '@oclif/core/flags'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags } from '../../base-command.ts'
import { parseAssignments } from '../../config-arguments.ts'
import { describeTarget, parseConfigTarget } from '../../config-resource.ts'
import { usageError } from '../../errors.ts'
import { say } from '../../terminal.ts'

export class ConfigSet extends BaseCommand {
  static override readonly summary = 'Set configs of a topic or a broker'
  static override readonly examples = ['$ sluice config set topic orders retention.ms=3600000']
  static override readonly usage = 'config set topic NAME|broker ID|brokers CONFIG=VALUE…'
  static override readonly strict = false
  static override readonly args = {
    target: requiredArgument('topic NAME, broker ID, or brokers'),
  }
  static override readonly flags = {
    ...connectionFlags,
    'dry-run': boolean({ description: 'let the broker check it, and change nothing' }),
  }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(ConfigSet)
    await this.use(flags)
    const { resource, rest } = parseConfigTarget(argv as string[])
    if (rest.length === 0)
      throw usageError('There is nothing to set.', 'Write: CONFIG=VALUE, as retention.ms=3600000')
    const configs = parseAssignments(rest)
    const admin = await this.admin()
    const changes = Object.entries(configs).map(([name, value]) => ({ name, value, op: 'set' as const }))
    await admin.incrementalAlterConfigs({
      resources: [{ ...resource, changes }],
      validateOnly: flags['dry-run'],
      signal: this.signal,
    })
    const names = Object.keys(configs).join(', ')
    say(
      flags['dry-run']
        ? `Checked by the broker; ${names} unchanged.`
        : `Set ${names} of ${describeTarget(resource)}.`,
    )
  }
}
