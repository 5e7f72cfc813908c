/**
 * Where a group goes on after a seek: reads what people write for --to and --by, and finds the offset in a partition.
 * Pure.
 */
import { usageError } from '../errors.ts'
import { parseDuration } from '../settings.ts'
import { type OffsetPosition, parseOffset } from './offset.ts'

export type SeekTarget = OffsetPosition | { readonly kind: 'by'; readonly count: number }

/** Exactly one of both is given. Throws CliError. */
export function parseSeek(to: string | undefined, by: string | undefined, nowMs: number): SeekTarget {
  if (to !== undefined && by === undefined) return parseOffset(to, nowMs)
  if (to === undefined && by !== undefined) return parseShift(by, nowMs)
  throw usageError(
    to === undefined ? 'Where to is not said.' : '--to and --by exclude each other.',
    'Write --to start, end, OFFSET or @TIME; or --by -100, +100 or -15m.',
  )
}

function parseShift(text: string, nowMs: number): SeekTarget {
  if (/^[+-]\d{1,15}$/.test(text)) return { kind: 'by', count: Number(text) }
  if (/^-\d+(\.\d+)?(ms|s|m|h|d)$/.test(text))
    return { kind: 'time', timestampMs: Math.max(0, Math.round(nowMs - parseDuration(text.slice(1)))) }
  throw usageError(
    `${JSON.stringify(text)} is no shift.`,
    'Write -100 or +100 for so many records, or -15m for the records of the last 15 minutes.',
  )
}

export interface SeekRange {
  /** -1 where nothing is committed: a shift starts at the first record then. */
  readonly committed: number
  readonly earliest: number
  readonly end: number
  /** Of the first record at or after the time asked for; -1 where there is none. */
  readonly atTime: number
}

/** The offset to go on at, within the log. */
export function resolveSeek(target: SeekTarget, range: SeekRange): number {
  return Math.min(range.end, Math.max(range.earliest, wanted(target, range)))
}

function wanted(target: SeekTarget, { committed, earliest, end, atTime }: SeekRange): number {
  switch (target.kind) {
    case 'start':
      return earliest
    case 'end':
      return end
    case 'offset':
      return target.offset
    case 'from-end':
      return end - target.count
    case 'time':
      return atTime < 0 ? end : atTime
    case 'by':
      return (committed < 0 ? earliest : committed) + target.count
    default:
      return target satisfies never
  }
}
