/** `sluice bench group`. */
import { boolean, integer, option, string } from '@oclif/core/flags'
import type { GroupOptions } from '../../../perf/workload/types.ts'
import { connectionFlags, outputFlags } from '../../base-command.ts'
import { BenchCommand } from '../../bench-command.ts'
import { benchFlags, workloadOptions } from '../../bench-flags.ts'
import { usageError } from '../../errors.ts'
import { parseDuration } from '../../settings.ts'

const ASSIGNORS = {
  classic: ['cooperative-sticky', 'sticky', 'range', 'roundrobin'],
  consumer: ['uniform', 'range'],
} as const

export class BenchGroup extends BenchCommand {
  static override readonly summary =
    'Measure how a group copes with members that come and go, or how fast it commits'
  static override readonly description =
    'Members join one group at the same time; when it is stable records flow at a steady rate while one member goes, ' +
    'another comes, and so on. It tells how soon the group was stable, how many partitions moved, which records were ' +
    'read twice, and how long partitions and members paused. With --light the members only speak the protocol of ' +
    'membership and read nothing, so that there can be thousands. With --commits light members commit the offsets of ' +
    'all their partitions as fast as they are answered for. A broker may wait for more members before it deals out ' +
    'the first time (group.initial.rebalance.delay.ms, 3 s in Kafka): that is in the time to stable.'
  static override readonly examples = [
    '$ sluice bench group --members 100 -p 200 --churn 1 --duration 30s --report group.html',
    '$ sluice bench group --members 100 -p 200 --churn 1 --assignor range',
    '$ sluice bench group --light --members 1000 -p 1000 --protocol consumer',
    '$ sluice bench group --commits --members 10 -p 1000',
  ]
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    ...benchFlags,
    partitions: integer({ char: 'p', min: 1, default: 20, description: 'partitions of the topic' }),
    size: string({ char: 's', default: '100', helpValue: '100', description: 'value of each record' }),
    members: integer({ char: 'm', min: 1, default: 10, description: 'members of the group' }),
    churn: string({
      default: '0',
      helpValue: 'N',
      description: 'members that go or come in a second, in turn; 0.5 is one every two seconds',
    }),
    protocol: option({
      options: ['classic', 'consumer'] as const,
      default: 'classic' as const,
      description: 'who deals out: a member (classic), or the broker (consumer, KIP-848)',
    })(),
    assignor: string({
      helpValue: 'NAME',
      description: `classic: ${ASSIGNORS.classic.join(', ')} [the first]; consumer: ${ASSIGNORS.consumer.join(', ')}`,
    }),
    light: boolean({ description: 'members that do not read, for large groups' }),
    commits: boolean({ exclusive: ['churn', 'rate'], description: 'measure commits instead' }),
    rate: integer({
      char: 'r',
      min: 1,
      default: 2000,
      helpValue: 'N',
      description: 'records per second in all, dealt out evenly over the partitions',
    }),
    heartbeat: string({
      default: '3s',
      helpValue: '3s',
      description: 'time between heartbeats, classic protocol',
    }),
    session: string({ default: '45s', helpValue: '45s', description: 'session timeout, classic protocol' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(BenchGroup)
    await this.use(flags)
    const churn = Number(flags.churn)
    if (!(churn >= 0 && churn <= 1000))
      throw usageError('--churn is a number of members per second, 0 .. 1000.')
    const known: readonly string[] = ASSIGNORS[flags.protocol]
    if (flags.assignor !== undefined && flags.protocol === 'classic' && !known.includes(flags.assignor))
      throw usageError(`There is no assignor ${flags.assignor}; there are ${known.join(', ')}.`)
    const topic = flags.topic ?? this.freshTopic()
    const group: GroupOptions = {
      groupId: `${topic}-${process.pid}-readers`,
      members: flags.members,
      protocol: flags.protocol,
      assignor: flags.assignor ?? (flags.protocol === 'classic' ? ASSIGNORS.classic[0] : null),
      // A flag that is not given is undefined, whatever its type says.
      light: Boolean(flags.light || flags.commits),
      churn,
      heartbeatIntervalMs: parseDuration(flags.heartbeat),
      sessionTimeoutMs: parseDuration(flags.session),
    }
    const workload = { ...workloadOptions(flags, topic), group }
    const { groupWorkload } = await import('../../../perf/workload/group/group.ts')
    const { commitsWorkload } = await import('../../../perf/workload/group/commits.ts')
    await this.bench(workload, flags, run =>
      (flags.commits ? commitsWorkload : groupWorkload)(run.connect, run.brokers, run.workload, run.context),
    )
  }
}
