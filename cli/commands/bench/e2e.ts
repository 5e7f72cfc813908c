/** `sluice bench e2e`. */
import { integer } from '@oclif/core/flags'
import { connectionFlags, outputFlags } from '../../base-command.ts'
import { BenchCommand } from '../../bench-command.ts'
import { benchFlags, producingFlags, workloadOptions } from '../../bench-flags.ts'

export class BenchEndToEnd extends BenchCommand {
  static override readonly summary = 'Measure how long records take from producer to consumer'
  static override readonly examples = [
    '$ sluice bench e2e',
    '$ sluice bench e2e --rate 20000 -p 3 --linger 0ms --report e2e.html',
  ]
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    ...benchFlags,
    ...producingFlags,
    rate: integer({
      char: 'r',
      min: 1,
      default: 1000,
      helpValue: 'N',
      description: 'records per second in all',
    }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(BenchEndToEnd)
    await this.use(flags)
    const workload = workloadOptions(flags, flags.topic ?? this.freshTopic())
    const { endToEndWorkload } = await import('../../../perf/workload/end-to-end.ts')
    await this.bench(workload, flags, run =>
      endToEndWorkload(run.connect, run.brokers, run.workload, run.context),
    )
  }
}
