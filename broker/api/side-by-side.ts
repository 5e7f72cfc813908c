/**
 * For requests that ask for many things at once. Things that are done side by side share the syncs of the
 * store; but ten thousand of them in one go would keep everybody else waiting, so they go in slices.
 */
import { type Timers } from '../env.ts'

/** As many as keep the event loop for some ten milliseconds. */
const SLICE = 50

/** Carries out `work` for each item and resolves to the results in the order of the items. Rejects with the first failure. */
export async function sideBySide<T, R>(
  timers: Timers,
  items: readonly T[],
  work: (item: T, index: number) => R | Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  for (let start = 0; start < items.length; start += SLICE) {
    if (start > 0) await new Promise<void>(resolve => timers.endOfTurn(resolve))
    const slice = items.slice(start, start + SLICE)
    results.push(...(await Promise.all(slice.map((item, i) => work(item, start + i)))))
  }
  return results
}
