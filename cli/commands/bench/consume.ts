/** `sluice bench consume`. */
import { string } from '@oclif/core/flags'
import { connectionFlags, outputFlags } from '../../base-command.ts'
import { BenchCommand } from '../../bench-command.ts'
import { benchFlags, producingFlags, workloadOptions } from '../../bench-flags.ts'
import { parseSize } from '../../settings.ts'

const DEFAULT_FILL = '512m'

export class BenchConsume extends BenchCommand {
  static override readonly summary = 'Measure how fast a broker gives records out'
  static override readonly description =
    `Reads the topic from its beginning, as often as the time allows. Without --topic one is made and filled with ${DEFAULT_FILL} first.`
  static override readonly examples = [
    '$ sluice bench consume',
    '$ sluice bench consume -t orders -p 6 --report consume.html',
  ]
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    ...benchFlags,
    batch: producingFlags.batch,
    compression: producingFlags.compression,
    compressible: producingFlags.compressible,
    fill: string({
      helpValue: '512m',
      description: `write so much to the topic first [${DEFAULT_FILL} where the topic is made]`,
    }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(BenchConsume)
    await this.use(flags)
    const workload = workloadOptions(flags, flags.topic ?? this.freshTopic())
    const fill = flags.fill ?? (flags.topic === undefined ? DEFAULT_FILL : null)
    const { consumeWorkload, fillTopic } = await import('../../../perf/workload/consume.ts')
    await this.bench(workload, flags, async ({ connect, brokers, workload, context }) => {
      if (fill !== null) await fillTopic(connect, brokers, workload, parseSize(fill), context)
      return consumeWorkload(connect, brokers, workload, context)
    })
  }
}
