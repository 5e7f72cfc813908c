/** `sluice bench failover`. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { integer, option, string } from '@oclif/core/flags'
import { BaseCommand, outputFlags } from '../../base-command.ts'
import { checkReports } from '../../bench-flags.ts'
import { DevelopmentCluster } from '../../cluster/development.ts'
import { parseAssignments } from '../../config-arguments.ts'
import { CliError, ExitCode } from '../../errors.ts'
import { renderTable } from '../../output/present.ts'
import { writeOut } from '../../output/writer.ts'
import { Progress, paint, say } from '../../terminal.ts'

const TOPIC = 'sluice-bench-failover'

export class BenchFailover extends BaseCommand {
  static override readonly summary = 'Measure how long writing stands still when a leader dies or hangs'
  static override readonly description =
    'Starts a cluster of its own on this machine (etcd must be installed), writes a record every millisecond, kills the ' +
    'process of the leader (kill -9) again and again, or halts it (SIGSTOP), and measures the longest time between two ' +
    'acknowledgements around that. A dead broker is noticed at once; one that hangs only when its session ends: ' +
    '--set broker.session.timeout.ms=MS says how soon.'
  static override readonly examples = [
    '$ sluice bench failover',
    '$ sluice bench failover --faults 50 --report failover.html',
    '$ sluice bench failover --fault halt --faults 5',
  ]
  static override readonly flags = {
    ...outputFlags,
    fault: option({
      options: ['kill', 'halt'] as const,
      default: 'kill' as const,
      description: 'what is done to the leader',
    })(),
    faults: integer({ min: 1, default: 20, helpValue: 'N', description: 'how often' }),
    brokers: integer({ min: 2, max: 15, default: 3, helpValue: 'N', description: 'brokers of the cluster' }),
    acks: option({
      options: ['all', '1'] as const,
      default: 'all' as const,
      description: 'who must have a record',
    })(),
    every: integer({ min: 1, default: 1, helpValue: 'MS', description: 'milliseconds between two records' }),
    set: string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'NAME=VALUE',
      description: 'config of every broker',
    }),
    report: string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'FILE',
      description: 'write a report: .json, .md, or .html with a chart; may be repeated',
    }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(BenchFailover)
    // --brokers is a number here: the cluster is its own.
    const settings = await this.use({ output: flags.output })
    const reports = flags.report ?? []
    checkReports(reports)
    const folder = await mkdtemp(join(tmpdir(), 'sluice-failover-'))
    const cluster = new DevelopmentCluster({
      brokers: flags.brokers,
      folder,
      port: 0,
      etcd: null,
      settings: parseAssignments(flags.set ?? []),
      onLine: () => {},
    })
    const progress = new Progress()
    try {
      await cluster.start()
      const { Kafka, failoverWorkload, report } = await loadWorkload()
      await using kafka = new Kafka({ brokers: cluster.bootstrap, clientId: 'sluice-bench' })
      await kafka.admin().createTopics({ topics: [{ topic: TOPIC, partitions: 1 }], signal: this.signal })
      const result = await failoverWorkload(kafka, cluster, {
        topic: TOPIC,
        fault: flags.fault,
        faults: flags.faults,
        everyMs: flags.every,
        acks: flags.acks === '1' ? 1 : 'all',
        signal: this.signal,
        onGap: ({ gapMs }, index) =>
          progress.update(() => `${flags.fault} ${index + 1} of ${flags.faults}: ${gapMs.toFixed(0)} ms`),
      })
      progress.done()
      if (settings.output === 'json' || settings.output === 'yaml') {
        await this.present({ data: result, rows: [], columns: [] })
      } else {
        await writeOut(`${paint(process.stdout, 'bold', report.failoverHeadline(result))}\n\n`)
        const pair = [0, 1].map(index => ({ title: '', value: (row: readonly string[]) => row[index]! }))
        await writeOut(renderTable(pair, report.failoverConditions(result)).replace(/^\n/, ''))
      }
      for (const file of reports) {
        await report.writeFailoverReport(file, result)
        say(`Report written to ${file}.`)
      }
      if (result.errors > 0) process.exitCode = ExitCode.FAILED
    } finally {
      progress.done()
      await cluster.stop()
      await rm(folder, { recursive: true, force: true })
    }
    if (this.signal.aborted) throw new CliError({ exitCode: ExitCode.INTERRUPTED, what: 'Interrupted.' })
  }
}

/** Only when it is run: other commands start sooner without. */
async function loadWorkload() {
  const [{ Kafka }, { failoverWorkload }, report] = await Promise.all([
    import('../../../client/index.ts'),
    import('../../../perf/workload/failover.ts'),
    import('../../../perf/report/failover.ts'),
  ])
  return { Kafka, failoverWorkload, report }
}
