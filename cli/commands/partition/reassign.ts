/** `sluice partition reassign`: moves partitions to other brokers, and shows how far they are. */
import { boolean, integer, string } from '@oclif/core/flags'
import type { Admin, PartitionOfTopic } from '../../../client/index.ts'
import { requiredArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { usageError } from '../../errors.ts'
import { namedPartitions, parseBrokers, placeOn, progressBar, untilMoved } from '../../partitions.ts'
import { parseSize } from '../../settings.ts'
import { bytes, Progress, say } from '../../terminal.ts'
import {
  describeThrottle,
  isThrottling,
  removeThrottle,
  setThrottle,
  type Throttle,
  throttleOf,
  throttlesOf,
} from '../../throttles.ts'

interface MoveRow extends PartitionOfTopic {
  readonly from: readonly number[]
  /** Null: the move is cancelled. */
  readonly to: readonly number[] | null
}

export class PartitionReassign extends BaseCommand {
  static override readonly summary = 'Move partitions to other brokers'
  static override readonly description =
    'One partition gets the brokers in the order given, the first being its preferred leader; of several, each begins ' +
    'one broker further. It waits until the copies are in sync; Ctrl-C ends the waiting, not the move.'
  static override readonly examples = [
    '$ sluice partition reassign orders:0 --to 3,1,2',
    '$ sluice partition reassign orders --to 1,2,3,4 --replicas 3',
    '$ sluice partition reassign orders --to 4,5,6 --throttle 50m',
    '$ sluice partition reassign orders --cancel',
  ]
  static override readonly strict = false
  static override readonly args = { partitions: requiredArgument('TOPIC, TOPIC:N or TOPIC:N,N') }
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    to: string({ helpValue: 'BROKERS', description: 'brokers that shall have them, as 3,1,2' }),
    replicas: integer({ min: 1, helpValue: 'N', description: 'replicas of each partition [all of --to]' }),
    throttle: string({
      helpValue: 'BYTES',
      description:
        'bytes per second that each broker sends and copies for it, as 50m; taken back when it is done',
    }),
    cancel: boolean({ description: 'take back the moves that are under way' }),
    wait: boolean({ allowNo: true, default: true, description: 'wait until they are done' }),
    'dry-run': boolean({ description: 'say what would be done, and do nothing' }),
  }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(PartitionReassign)
    await this.use(flags)
    if (flags.cancel === (flags.to !== undefined))
      throw usageError('Say where to with --to BROKERS, or --cancel.')
    if (flags.cancel && flags.throttle !== undefined)
      throw usageError('--throttle is for moves: give --to BROKERS.')
    const bytesPerSecond = flags.throttle === undefined ? null : parseSize(flags.throttle)
    if (bytesPerSecond === 0) throw usageError('With --throttle 0 nothing would ever be moved.')
    const admin = await this.admin()
    const partitions = await namedPartitions(admin, argv as string[], this.signal)
    const rows = flags.cancel
      ? await this.planCancel(admin, partitions)
      : await this.planMove(admin, partitions, parseBrokers(flags.to!), flags.replicas)
    if (!flags['dry-run'] && rows.length > 0) {
      const throttle =
        bytesPerSecond === null ? null : throttleOf(rows.map(row => ({ ...row, to: row.to ?? [] })))
      if (throttle !== null) await setThrottle(admin, throttle, bytesPerSecond!, this.signal)
      try {
        await admin.alterPartitionReassignments({
          partitions: rows.map(({ topic, partition, to }) => ({ topic, partition, replicas: to })),
          signal: this.signal,
        })
      } catch (error) {
        if (throttle !== null) say('The throttle may be left behind: look with sluice partition status.')
        throw error
      }
      if (flags.wait && !flags.cancel) {
        await this.waitFor(admin, rows)
        if (throttle !== null) await this.takeBack(admin, throttle)
      }
      if (throttle !== null || flags.cancel) await this.tellThrottle(admin)
    }
    await this.present({
      data: { applied: !flags['dry-run'], partitions: rows },
      rows,
      empty: 'None of these is being moved.',
      columns: [
        { title: 'topic', value: row => row.topic },
        { title: 'partition', align: 'right', value: row => row.partition },
        { title: 'from', value: row => row.from.join(',') },
        { title: 'to', value: row => row.to?.join(',') ?? 'cancelled' },
      ],
    })
  }

  private async planMove(
    admin: Admin,
    partitions: readonly PartitionOfTopic[],
    brokers: readonly number[],
    replicas = brokers.length,
  ): Promise<MoveRow[]> {
    if (replicas > brokers.length) {
      throw usageError(`${replicas} replicas want ${replicas} brokers, and --to names ${brokers.length}.`)
    }
    const topics = await admin.describeTopics({
      topics: [...new Set(partitions.map(({ topic }) => topic))],
      signal: this.signal,
    })
    return partitions.map(({ topic, partition }, turn) => ({
      topic,
      partition,
      from: topics.find(each => each.topic === topic)!.partitions[partition]!.replicas,
      to: placeOn(brokers, replicas, turn),
    }))
  }

  private async planCancel(admin: Admin, partitions: readonly PartitionOfTopic[]): Promise<MoveRow[]> {
    const moves = await admin.listPartitionReassignments({ partitions, signal: this.signal })
    return moves.map(({ topic, partition, replicas }) => ({ topic, partition, from: replicas, to: null }))
  }

  private async takeBack(admin: Admin, throttle: Throttle): Promise<void> {
    const isDone = await removeThrottle(admin, throttle, this.signal)
    if (!isDone) say('The rates stay at the brokers, because other partitions are being moved.')
  }

  private async tellThrottle(admin: Admin): Promise<void> {
    const left = await throttlesOf(admin, this.signal)
    if (isThrottling(left)) say(describeThrottle(left))
  }

  private async waitFor(admin: Admin, rows: readonly MoveRow[]): Promise<void> {
    const progress = new Progress()
    try {
      await untilMoved(admin, rows, this.signal, moves => {
        const known = moves.filter(({ totalBytes }) => totalBytes !== null)
        const copied = known.reduce((sum, { copiedBytes }) => sum + copiedBytes!, 0)
        const total = known.reduce((sum, { totalBytes }) => sum + totalBytes!, 0)
        const how =
          known.length === 0 ? '' : `${progressBar(copied, total)} ${bytes(copied)} of ${bytes(total)}, `
        progress.update(() => `${how}${moves.length} of ${rows.length} partitions under way`)
      })
    } catch (error) {
      if (this.signal.aborted) {
        progress.done()
        say(
          'The moves go on, throttled if they were. Look with sluice partition status, take back with sluice partition reassign --cancel.',
        )
      }
      throw error
    } finally {
      progress.done()
    }
  }
}
