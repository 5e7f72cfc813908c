/** What a report says of a group: how soon it was stable, what moved and came twice, and who paused for how long. */
import type { GroupFigures, GroupOptions, LatencySummary } from '../workload/types.ts'
import { amount, milliseconds, number } from './text.ts'

const seconds = (value: number): string => `${number(value / 1000, 2)} s`

/** One line. */
export function groupHeadline(figures: GroupFigures): string {
  const { firstStableMs, changes, settling, reread } = figures
  const parts = [firstStableMs === null ? 'never stable' : `stable in ${seconds(firstStableMs)}`]
  if (changes > 0) {
    const median = settling === null ? '' : `, again after ${milliseconds(settling.p50)} ms (median)`
    parts.push(`${amount(changes, 'change')}${median}`, `${amount(reread, 'record')} read again`)
  }
  return parts.join('; ')
}

/** As pairs for a table. */
export function groupRows(figures: GroupFigures): [string, string][] {
  const { firstStableMs, firstStableCpuMs, changes, settling, unsettled, revoked, moved, leastMoved } =
    figures
  const cpu =
    firstStableCpuMs === null ? '' : `, of which ${seconds(firstStableCpuMs)} processor time of the members`
  return [
    ['first stable', firstStableMs === null ? 'never' : `after ${seconds(firstStableMs)}${cpu}`],
    ['members that went or came', number(changes)],
    ...(changes === 0
      ? []
      : ([
          ['stable again, ms', settling === null ? 'never' : percentiles(settling)],
          ['not stable again before the end', number(unsettled)],
          [
            'partitions that moved',
            `${number(moved)}; ${number(leastMoved)} would do, were each change dealt out for itself`,
          ],
          ['partitions that were let go of', number(revoked)],
          ['partitions with two owners', number(figures.overlaps)],
        ] satisfies [string, string][])),
    ['records read again', number(figures.reread)],
    ['records left out', number(figures.skipped)],
  ]
}

function percentiles({ p50, p99, max }: LatencySummary): string {
  return `p50 ${milliseconds(p50)}, p99 ${milliseconds(p99)}, max ${milliseconds(max)}`
}

export interface PauseRow {
  readonly name: string
  readonly summary: LatencySummary
}

/** Times without a record, of those that had any. */
export function pauseRows({ pauses }: GroupFigures): PauseRow[] {
  const rows: [string, LatencySummary | null][] = [
    ['a partition that moved', pauses.moved],
    ['a partition that stayed', pauses.stayed],
    ['a member', pauses.members],
    ['a newcomer, until its first record', pauses.newcomers],
  ]
  return rows.flatMap(([name, summary]) => (summary === null ? [] : [{ name, summary }]))
}

/** Of all pause tables. */
export const PAUSE_HEADING = ['pause of', 'count', 'p50', 'p99', 'max'] as const

export function pauseCells({ name, summary }: PauseRow): string[] {
  const { count, p50, p99, max } = summary
  return [name, number(count), milliseconds(p50), milliseconds(p99), milliseconds(max)]
}

/** How it was run, as pairs for a table. `everyMs`: between two records of a partition; null where none are read. */
export function groupConditions(group: GroupOptions, everyMs: number | null): [string, string][] {
  const dealt = group.assignor ?? (group.protocol === 'consumer' ? 'the choice of the broker' : 'the default')
  return [
    [
      'members',
      `${number(group.members)}, ${group.light ? 'light: membership alone' : 'consumers that read'}`,
    ],
    ['protocol', `${group.protocol}, assignor ${dealt}`],
    ['churn', group.churn === 0 ? 'none' : `${group.churn} a second, one goes, one comes`],
    [
      'heartbeats',
      `every ${number(group.heartbeatIntervalMs)} ms, session ${number(group.sessionTimeoutMs)} ms (the consumer protocol ` +
        'takes both from the broker)',
    ],
    ...(everyMs === null
      ? []
      : [['records due', `every ${milliseconds(everyMs)} ms in each partition`] as [string, string]]),
  ]
}
