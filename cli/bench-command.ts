/** The frame of the `sluice bench` commands: topic, clients, progress, outcome, reports. */
import type { Kafka } from '../client/index.ts'
import type { WorkloadContext, WorkloadOptions, WorkloadResult } from '../perf/workload/types.ts'
import { BaseCommand } from './base-command.ts'
import { checkReports, printResult, showSnapshot } from './bench-flags.ts'
import { CliError, ExitCode } from './errors.ts'
import { Progress, say } from './terminal.ts'

export interface BenchRun {
  /** Makes a client of its own; all are closed at the end. */
  readonly connect: () => Kafka
  readonly brokers: string
  readonly workload: WorkloadOptions
  readonly context: WorkloadContext
}

export abstract class BenchCommand extends BaseCommand {
  /** Makes the topic where it is missing, measures, and leaves nothing behind that was not there. */
  protected async bench(
    workload: WorkloadOptions,
    flags: { readonly keep: boolean; readonly report?: readonly string[] | undefined },
    measure: (run: BenchRun) => Promise<WorkloadResult>,
  ): Promise<void> {
    const reports = flags.report ?? []
    checkReports(reports)
    const settings = this.requireSettings()
    const admin = await this.connect()
    await admin.admin().connect({ signal: this.signal })
    const { Kafka } = await import('../client/index.ts')
    const { ensureTopic, deleteTopic } = await import('../perf/workload/topic.ts')
    const made = await ensureTopic(admin, workload.topic, workload.partitions).catch(explain)
    const clients: Kafka[] = []
    const progress = new Progress()
    const connect = (): Kafka => {
      const kafka = new Kafka({ brokers: settings.brokers, clientId: 'sluice-bench' })
      clients.push(kafka)
      return kafka
    }
    const context: WorkloadContext = {
      signal: this.signal,
      onSnapshot: snapshot => showSnapshot(progress, snapshot),
    }
    try {
      const result = await measure({ connect, brokers: settings.brokers, workload, context })
      progress.done()
      if (settings.output === 'json' || settings.output === 'yaml') {
        await this.present({ data: result, rows: [], columns: [] })
      } else {
        await printResult(result)
      }
      const { writeWorkloadReport } = await import('../perf/report/workload.ts')
      for (const file of reports) {
        await writeWorkloadReport(file, result)
        say(`Report written to ${file}.`)
      }
      if (result.errors > 0) process.exitCode = ExitCode.FAILED
    } catch (error) {
      // What an interruption breaks off is no failure of its own.
      if (!this.signal.aborted) explain(error)
    } finally {
      progress.done()
      await Promise.all(clients.map(client => client.close()))
      if (made && !flags.keep) await deleteTopic(admin, workload.topic)
    }
    if (this.signal.aborted) throw new CliError({ exitCode: ExitCode.INTERRUPTED, what: 'Interrupted.' })
  }

  /** A name that no other run has. */
  protected freshTopic(): string {
    return `sluice-bench-${Date.now().toString(36)}`
  }
}

/** Throws it, as an error for the person where it is one. */
function explain(error: unknown): never {
  if (error instanceof Error && error.name === 'WorkloadError')
    throw new CliError({ what: error.message, cause: error })
  throw error
}
