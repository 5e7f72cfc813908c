/**
 * Reads where to start or stop in a partition, as people write it. Pure.
 *
 *   start, beginning, earliest   the first record that is there
 *   end, latest                  after the last one
 *   1200                         this offset
 *   -100                         so many before the end
 *   @1767225600000               this time, in milliseconds since 1970
 *   @2026-01-31T12:00            this time, local unless it says otherwise
 *   @15m                         so long ago (ms, s, m, h, d)
 */
import { usageError } from '../errors.ts'
import { parseDuration } from '../settings.ts'

export type OffsetPosition =
  | { readonly kind: 'start' }
  | { readonly kind: 'end' }
  | { readonly kind: 'offset'; readonly offset: number }
  /** The last `count` records. */
  | { readonly kind: 'from-end'; readonly count: number }
  | { readonly kind: 'time'; readonly timestampMs: number }

/** Throws CliError. */
export function parseOffset(text: string, nowMs: number): OffsetPosition {
  if (/^(start|beginning|earliest)$/.test(text)) return { kind: 'start' }
  if (/^(end|latest)$/.test(text)) return { kind: 'end' }
  if (text.startsWith('@')) return { kind: 'time', timestampMs: parseTime(text.slice(1), nowMs) }
  if (/^-\d{1,15}$/.test(text)) return { kind: 'from-end', count: Number(text.slice(1)) }
  if (/^\d{1,15}$/.test(text)) return { kind: 'offset', offset: Number(text) }
  throw usageError(
    `${JSON.stringify(text)} is no position.`,
    'Write start, end, an offset, -N for the last N, or @TIME.',
  )
}

function parseTime(text: string, nowMs: number): number {
  if (/^\d{9,16}$/.test(text)) return Number(text)
  if (/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(text)) return Math.round(nowMs - parseDuration(text))
  const timestampMs = Date.parse(text)
  if (Number.isNaN(timestampMs)) {
    throw usageError(
      `@${text} is no time.`,
      'Write @1767225600000, @2026-01-31T12:00:00Z, or @15m for 15 minutes ago.',
    )
  }
  return timestampMs
}
