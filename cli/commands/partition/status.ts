/** `sluice partition status`: the moves of partitions that are under way, and how far they are. */
import { setTimeout as sleep } from 'node:timers/promises'
import { boolean } from '@oclif/core/flags'
import type { Admin } from '../../../client/index.ts'
import { optionalArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { Live } from '../../output/live.ts'
import { type Column, renderTable } from '../../output/present.ts'
import { type Move, movesUnderWay, namedPartitions, progressBar } from '../../partitions.ts'
import { bytes, paint, say } from '../../terminal.ts'
import { describeThrottle, isThrottling, removeThrottle, throttlesOf } from '../../throttles.ts'

const LOOK_EVERY_MS = 1000

const COLUMNS: readonly Column<Move>[] = [
  { title: 'topic', value: row => row.topic },
  { title: 'partition', align: 'right', value: row => row.partition },
  { title: 'replicas', value: row => row.replicas.join(',') },
  { title: 'adding', value: row => row.adding.join(',') || null },
  { title: 'removing', value: row => row.removing.join(',') || null },
  {
    title: 'copied',
    align: 'right',
    value: row => (row.copiedBytes === null ? null : bytes(row.copiedBytes)),
  },
  { title: 'progress', value: row => progressBar(row.copiedBytes, row.totalBytes) || null },
]
const NOTHING = 'Nothing is being moved.'

export class PartitionStatus extends BaseCommand {
  static override readonly summary = 'Show the moves of partitions that are under way'
  static override readonly examples = [
    '$ sluice partition status',
    '$ sluice partition status orders --watch',
    '$ sluice partition status --watch --remove-throttle',
  ]
  static override readonly strict = false
  static override readonly args = { partitions: optionalArgument('TOPIC, TOPIC:N or TOPIC:N,N [all]') }
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    'remove-throttle': boolean({
      description: 'once nothing is being moved, remove what throttles replication anywhere',
    }),
    watch: boolean({ char: 'w', description: 'look again and again, until nothing is being moved' }),
  }

  async run(): Promise<void> {
    const { flags, argv } = await this.parse(PartitionStatus)
    await this.use(flags)
    const admin = await this.admin()
    const { signal } = this
    const named = argv as string[]
    const partitions = named.length === 0 ? undefined : await namedPartitions(admin, named, signal)
    const rows = await movesUnderWay(admin, partitions, signal)
    if (!flags.watch) {
      await this.present({ data: rows, rows, empty: NOTHING, columns: COLUMNS })
      await this.settleThrottles(admin, flags['remove-throttle'])
      return
    }
    const live = new Live()
    for (let moves = rows; ; moves = await movesUnderWay(admin, partitions, signal)) {
      const table = renderTable(COLUMNS, moves, text => paint(process.stdout, 'dim', text))
      await live.show(moves.length === 0 ? `${NOTHING}\n` : table)
      if (moves.length === 0) break
      await sleep(LOOK_EVERY_MS, undefined, { signal })
    }
    await this.settleThrottles(admin, flags['remove-throttle'])
  }

  /** A throttle is of use while partitions are moved; afterwards it only keeps replicas behind that have failed. */
  private async settleThrottles(admin: Admin, remove: boolean): Promise<void> {
    const { signal } = this
    const moves = await admin.listPartitionReassignments({ signal })
    if (moves.length > 0) {
      if (remove) say('The throttle stays, because partitions are being moved.')
      return
    }
    const throttle = await throttlesOf(admin, signal)
    if (!isThrottling(throttle)) return
    if (!remove) say(describeThrottle(throttle))
    else if (await removeThrottle(admin, throttle, signal)) say('Replication is throttled no more.')
    else say('The rates stay at the brokers, because partitions are being moved again.')
  }
}
