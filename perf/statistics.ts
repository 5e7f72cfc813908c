/** Small arithmetic over measured figures. Pure. */

/** The middle value; the mean of the two middle ones where the count is even. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Half the distance between the first and third quartile, as a share of the median: how far to trust a figure. */
export function spread(values: readonly number[]): number {
  if (values.length < 2) return 0
  const sorted = [...values].sort((left, right) => left - right)
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.round(share * (sorted.length - 1)))]!
  return (at(0.75) - at(0.25)) / 2 / median(sorted)
}

export const MEBIBYTE = 1 << 20

/** Mebibytes in a second. */
export function mebibytesPerSecond(bytes: number, durationMs: number): number {
  return bytes / MEBIBYTE / (durationMs / 1000)
}
