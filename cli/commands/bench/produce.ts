/** `sluice bench produce`. */
import { connectionFlags, outputFlags } from '../../base-command.ts'
import { BenchCommand } from '../../bench-command.ts'
import { benchFlags, producingFlags, workloadOptions } from '../../bench-flags.ts'

export class BenchProduce extends BenchCommand {
  static override readonly summary = 'Measure how fast a broker takes records'
  static override readonly description =
    'Works with any Kafka-compatible broker. With --rate latencies count from the time at which a record was due, so ' +
    'that a stall shows in every record it held up.'
  static override readonly examples = [
    '$ sluice bench produce --report produce.html',
    '$ sluice bench produce -s 200 -p 6 --rate 50000 --duration 30s',
    '$ sluice bench produce -b kafka:9092 -z zstd -a 1',
  ]
  static override readonly flags = { ...connectionFlags, ...outputFlags, ...benchFlags, ...producingFlags }

  async run(): Promise<void> {
    const { flags } = await this.parse(BenchProduce)
    await this.use(flags)
    const workload = workloadOptions(flags, flags.topic ?? this.freshTopic())
    const { produceWorkload } = await import('../../../perf/workload/produce.ts')
    await this.bench(workload, flags, run =>
      produceWorkload(run.connect, run.brokers, run.workload, run.context),
    )
  }
}
