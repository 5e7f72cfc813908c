/**
 * Requests that name one thing twice. An answer has one place for each name, as clients keep answers by name: where the
 * request contradicts itself that place tells so, elsewhere the last word holds.
 */

export interface Asked<T> {
  readonly item: T
  /** It was asked for more than once, maybe differently. */
  readonly isDuplicate: boolean
}

/** Each key once, in the order in which they first come. */
export function onceEach<T>(items: readonly T[], keyOf: (item: T) => string | number): Asked<T>[] {
  const byKey = new Map<string | number, Asked<T>>()
  for (const item of items) {
    const key = keyOf(item)
    byKey.set(key, { item, isDuplicate: byKey.has(key) })
  }
  return [...byKey.values()]
}
