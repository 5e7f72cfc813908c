/** `sluice topic alter`: sets configs of a topic, or gives them back to their defaults. */
import { boolean, string } from '@oclif/core/flags'
import type { ConfigChange } from '../../../client/index.ts'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags } from '../../base-command.ts'
import { parseAssignments } from '../../config-arguments.ts'
import { usageError } from '../../errors.ts'
import { say } from '../../terminal.ts'

export class TopicAlter extends BaseCommand {
  static override readonly summary = 'Change the configs of a topic'
  static override readonly examples = [
    '$ sluice topic alter orders -c retention.ms=3600000',
    '$ sluice topic alter orders --unset retention.ms',
  ]
  static override readonly args = {
    topic: requiredArgument('name of the topic'),
  }
  static override readonly flags = {
    ...connectionFlags,
    config: string({
      char: 'c',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'NAME=VALUE',
      description: 'config to set',
    }),
    unset: string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'NAME',
      description: 'config to give back to its default',
    }),
    'dry-run': boolean({ description: 'let the broker check it, and change nothing' }),
  }

  async run(): Promise<void> {
    const { flags, args } = await this.parse(TopicAlter)
    await this.use(flags)
    const changes: ConfigChange[] = [
      ...Object.entries(parseAssignments(flags.config ?? [])).map(([name, value]) => ({
        name,
        value,
        op: 'set' as const,
      })),
      ...(flags.unset ?? []).map(name => ({ name, op: 'delete' as const })),
    ]
    if (changes.length === 0)
      throw usageError('There is nothing to change.', 'Name a config with -c NAME=VALUE or --unset NAME.')
    const admin = await this.admin()
    await admin.incrementalAlterConfigs({
      resources: [{ type: 'topic', name: args.topic, changes }],
      validateOnly: flags['dry-run'],
      signal: this.signal,
    })
    const names = changes.map(change => change.name).join(', ')
    say(
      flags['dry-run'] ? `Checked by the broker; ${names} unchanged.` : `Changed ${names} of ${args.topic}.`,
    )
  }
}
