import fc from 'fast-check'
import t from 'tap'
import { ManualClock } from '../../../broker/env-memory/clock.ts'
import { type Deadline, DeadlineQueue } from '../../../broker/runtime/deadline-queue.ts'

class Entry implements Deadline {
  heapIndex = -1
  reachedAtMs: number | null = null
  readonly deadlineMs: number
  readonly #clock: ManualClock

  constructor(clock: ManualClock, deadlineMs: number) {
    this.#clock = clock
    this.deadlineMs = deadlineMs
  }

  reached(): void {
    this.reachedAtMs = this.#clock.monotonicMs()
  }
}

t.test('every deadline is reached in time, and removed ones never', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ delayMs: fc.nat(50), remove: fc.boolean() }), { maxLength: 60 }),
      async plans => {
        const clock = new ManualClock()
        const queue = new DeadlineQueue({ clock, timers: clock })
        const entries = plans.map(({ delayMs }) => new Entry(clock, delayMs))
        for (const entry of entries) queue.add(entry)
        for (const [index, { remove }] of plans.entries()) if (remove) queue.remove(entries[index]!)
        await clock.advance(60)
        for (const [index, { delayMs, remove }] of plans.entries()) {
          const expected = remove ? null : delayMs
          if (entries[index]!.reachedAtMs !== expected)
            throw new Error(`entry ${index} was not reached in time`)
        }
        if (queue.size !== 0 || clock.pendingTimers !== 0) throw new Error('something is left')
      },
    ),
    { numRuns: 100 },
  )
})

t.test('one timer serves all, and none is set when nothing waits', t => {
  const clock = new ManualClock()
  const queue = new DeadlineQueue({ clock, timers: clock })
  const entries = Array.from({ length: 100 }, (_, index) => new Entry(clock, 1000 - index))
  for (const entry of entries) queue.add(entry)
  t.equal(clock.pendingTimers, 1)
  for (const entry of entries) queue.remove(entry)
  t.equal(clock.pendingTimers, 0)
  t.end()
})

t.test('an entry may join again when it was reached', async t => {
  const clock = new ManualClock()
  const queue = new DeadlineQueue({ clock, timers: clock })
  const times: number[] = []
  const entry = {
    deadlineMs: 10,
    heapIndex: -1,
    reached(): void {
      times.push(clock.monotonicMs())
      entry.deadlineMs += 10
      if (times.length < 3) queue.add(entry)
    },
  }
  queue.add(entry)
  await clock.advance(100)
  t.same(times, [10, 20, 30])
})

t.test('who joins again with a deadline that has passed waits for the next turn', async t => {
  const clock = new ManualClock()
  const queue = new DeadlineQueue({ clock, timers: clock })
  let isOver = false
  const insistent = {
    heapIndex: -1,
    deadlineMs: 10,
    reached: () => {
      if (!isOver) queue.add(insistent)
    },
  }
  queue.add(insistent)
  clock.set(10, () => {
    isOver = true
  })
  await clock.advance(10)
  t.ok(isOver, 'others had a turn')
})
