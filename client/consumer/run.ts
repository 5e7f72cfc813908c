/**
 * Calling handlers: several partitions at a time where that is wanted, within a partition one record after another.
 */
import { AbortError } from '../errors.ts'
import { assert } from '../protocol/assert.ts'
import { type PoisonPolicy, recover, type Unit } from './poison.ts'
import { type Reading, type Taken } from './reading.ts'
import { type OffsetKind, type RunOptions } from './types.ts'

/** Resolves when the reading ends without an error; rejects with the error, or with what a handler threw. */
export async function runHandlers<K, V, O extends OffsetKind>(
  reading: Reading<K, V, O>,
  options: RunOptions<K, V, O>,
  policy: PoisonPolicy,
): Promise<void> {
  const workers = Array.from({ length: options.concurrency ?? 1 }, () => work(reading, options, policy))
  try {
    await Promise.all(workers)
  } finally {
    // One that failed stops the others; each finishes the record that it has in hand.
    reading.end(null)
    await Promise.allSettled(workers)
  }
  // Being told to stop is the ordinary end of a run.
  if (reading.error !== null && !(reading.error instanceof AbortError)) throw reading.error
}

async function work<K, V, O extends OffsetKind>(
  reading: Reading<K, V, O>,
  options: RunOptions<K, V, O>,
  policy: PoisonPolicy,
): Promise<void> {
  while (!reading.isOver) {
    const taken = reading.take()
    if (taken === null) {
      await reading.wait()
      continue
    }
    taken.partition.busy = true
    try {
      await handle(reading, taken, options, policy)
    } finally {
      taken.partition.busy = false
      taken.partition.onProgress?.()
      // Another worker may wait for this partition.
      reading.wake()
    }
  }
}

async function handle<K, V, O extends OffsetKind>(
  reading: Reading<K, V, O>,
  taken: Taken<K, V, O>,
  { eachMessage, eachBatch }: RunOptions<K, V, O>,
  policy: PoisonPolicy,
): Promise<void> {
  const isCurrent = (): boolean => !reading.isOver && reading.isCurrent(taken)
  const again = (unit: Unit<K, V, O>, error: unknown, call: () => void | Promise<void>): Promise<boolean> =>
    recover(policy, unit, error, isCurrent, reading.ended, call)
  if (eachBatch !== undefined) {
    const { batch } = taken
    try {
      await eachBatch(batch)
    } catch (error) {
      if (!(await again(batch, error, () => eachBatch(batch)))) return
    }
    reading.finish(taken, batch.count)
    return
  }
  assert(eachMessage !== undefined, 'a run has a handler')
  const cursor = taken.batch.cursor()
  for (let message = cursor.next(); message !== null; message = cursor.next()) {
    if (!isCurrent()) return
    const current = message
    try {
      await eachMessage(current)
    } catch (error) {
      if (!(await again(current, error, () => eachMessage(current)))) return
    }
    reading.recordsTaken++
    if (taken.partition.generation === taken.generation) taken.partition.position = cursor.nextOffset
  }
  reading.finish(taken, 0)
}
