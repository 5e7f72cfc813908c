/** `sluice cluster health`: what is wrong with the cluster; exit code 1 where anything is. */
import { boolean } from '@oclif/core/flags'
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { clusterFacts, type Health, healthOf } from '../../cluster/health.ts'
import { ExitCode } from '../../errors.ts'
import { writeOut } from '../../output/writer.ts'
import { count, paint } from '../../terminal.ts'

const SHOWN = 50

export class ClusterHealth extends BaseCommand {
  static override readonly summary = 'Show what is wrong with the cluster'
  static override readonly description =
    'Partitions that nobody leads, that have fewer replicas in sync than min.insync.replicas or than they should have, ' +
    'and brokers that take no part. Ends with code 1 where there is any of these, so that scripts can wait for 0.'
  static override readonly examples = [
    '$ sluice cluster health',
    '$ until sluice cluster health; do sleep 1; done',
  ]
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    all: boolean({ description: `show every finding, not only the first ${SHOWN}` }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(ClusterHealth)
    const settings = await this.use(flags)
    const admin = await this.admin()
    const health = healthOf(await clusterFacts(admin, this.signal))
    if (settings.output === 'table' || settings.output === 'wide') await writeOut(`${headline(health)}\n`)
    const rows = flags.all ? health.findings : health.findings.slice(0, SHOWN)
    if (!health.healthy || settings.output === 'json' || settings.output === 'yaml') {
      await this.present({
        data: health,
        rows,
        columns: [
          { title: 'problem', value: row => row.problem },
          { title: 'what', value: row => row.what },
          { title: 'detail', value: row => row.detail },
        ],
      })
    }
    const hidden = health.findings.length - rows.length
    if (hidden > 0 && settings.output === 'table') await writeOut(`… ${hidden} more: --all shows them\n`)
    if (!health.healthy) process.exitCode = ExitCode.FAILED
  }
}

function headline({ healthy, brokers, partitions, fencedBrokers, findings, notPreferred }: Health): string {
  const verdict = healthy
    ? paint(process.stdout, 'green', 'healthy')
    : paint(process.stdout, 'red', `${findings.length} finding${findings.length === 1 ? '' : 's'}`)
  const facts = [`${brokers - fencedBrokers.length} of ${brokers} brokers`, `${count(partitions)} partitions`]
  if (notPreferred > 0) facts.push(`${notPreferred} not led by their preferred replica`)
  return `${verdict}: ${facts.join(', ')}`
}
