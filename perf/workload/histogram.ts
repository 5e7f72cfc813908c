/**
 * HDR histograms of times: in microseconds with three significant digits, so that the far percentiles are as good as
 * the median; and what reports show of them.
 */
import * as hdr from 'hdr-histogram-js'
import type { LatencySummary } from './types.ts'

const HIGHEST_MICROSECONDS = 600_000_000
const CURVE_TICKS = 8

export type Histogram = hdr.Histogram

export function makeHistogram(): hdr.Histogram {
  return hdr.build({
    bitBucketSize: 'packed',
    autoResize: false,
    lowestDiscernibleValue: 1,
    highestTrackableValue: HIGHEST_MICROSECONDS,
    numberOfSignificantValueDigits: 3,
    useWebAssembly: false,
  })
}

/** `count` times of so many milliseconds; below a microsecond and above ten minutes they are taken as that. */
export function recordMilliseconds(histogram: Histogram, milliseconds: number, count = 1): void {
  const microseconds = Math.min(HIGHEST_MICROSECONDS, Math.max(1, Math.round(milliseconds * 1000)))
  histogram.recordValueWithCount(microseconds, count)
}

/** Null where nothing was recorded. */
export function summarize(histogram: Histogram): LatencySummary | null {
  if (histogram.totalCount === 0) return null
  // A value is known to three digits: the upper end of its range may lie above the largest.
  const at = (percentile: number): number =>
    Math.min(histogram.getValueAtPercentile(percentile), histogram.maxValue) / 1000
  return {
    count: histogram.totalCount,
    mean: histogram.mean / 1000,
    min: histogram.minNonZeroValue / 1000,
    p50: at(50),
    p90: at(90),
    p95: at(95),
    p99: at(99),
    p999: at(99.9),
    p9999: at(99.99),
    max: histogram.maxValue / 1000,
    curve: curve(histogram),
  }
}

/** Percentiles that grow denser towards 100, as far as there are records to tell them apart. */
function curve(histogram: Histogram): { percentile: number; value: number }[] {
  const points: { percentile: number; value: number }[] = []
  for (
    let left = 100;
    left > 100 / histogram.totalCount / 2 && points.length < 200;
    left *= 2 ** (-1 / CURVE_TICKS)
  ) {
    const percentile = 100 - left
    points.push({ percentile, value: histogram.getValueAtPercentile(percentile) / 1000 })
  }
  points.push({ percentile: 100, value: histogram.maxValue / 1000 })
  return points
}
