import t from 'tap'
import { type Pulse, Watchdog } from '../../../client/consumer/watchdog.ts'
import { type ClientEnv, type ClientTimer } from '../../../client/env.ts'

const WELL: Pulse = {
  taken: 0,
  hasData: false,
  lastAnswerMs: 0,
  working: [],
  memberlessSinceMs: null,
  isFetching: false,
}

/** A watchdog with a period of 100 ms, on a clock that is moved by hand; answers what it has reported since. */
function watch(): { pulse: Pulse; advance(ms: number): string[]; stop(): boolean } {
  let nowMs = 0
  let next: { atMs: number; callback: () => void } | null = null
  const reported: string[] = []
  const env = {
    clock: { monotonicMs: () => nowMs },
    timers: {
      setBackground(delayMs: number, callback: () => void): ClientTimer {
        next = { atMs: nowMs + delayMs, callback }
        return next as unknown as ClientTimer
      },
      clear: () => {
        next = null
      },
    },
  } as unknown as ClientEnv
  const watched = { pulse: WELL }
  const dog = new Watchdog(
    env,
    100,
    () => watched.pulse,
    (reason, forMs) => void reported.push(`${reason} ${forMs}`),
  )
  dog.start()
  return Object.assign(watched, {
    advance(ms: number): string[] {
      const untilMs = nowMs + ms
      while (next !== null && next.atMs <= untilMs) {
        nowMs = next.atMs
        next.callback()
      }
      nowMs = untilMs
      return reported.splice(0)
    },
    stop(): boolean {
      dog.stop()
      return next === null
    },
  })
}

t.test('while nothing waits, or all that waits is taken, nothing is reported', t => {
  const dog = watch()
  t.same(dog.advance(1000), [])
  for (let taken = 1; taken < 20; taken++) {
    dog.pulse = { ...WELL, taken, hasData: true }
    t.same(dog.advance(90), [])
  }
  t.ok(dog.stop(), 'and no timer is left')
  t.end()
})

t.test('records that nobody takes are the fault of the handler, told once until some are', t => {
  const dog = watch()
  dog.pulse = { ...WELL, taken: 1, hasData: true }
  t.same(dog.advance(100), [])
  t.same(dog.advance(25), ['handler 100'])
  t.same(dog.advance(1000), [])
  dog.pulse = { ...WELL, taken: 2, hasData: true }
  t.same(dog.advance(100), [])
  t.same(dog.advance(25), ['handler 100'])
  t.end()
})

t.test('so is a record that is worked on for too long', t => {
  const dog = watch()
  const key = {}
  dog.pulse = { ...WELL, working: [{ key, position: 7 }] }
  t.same(dog.advance(125), ['handler 100'])
  dog.pulse = { ...WELL, working: [{ key, position: 8 }] }
  t.same(dog.advance(100), [])
  t.end()
})

t.test('a broker that does not answer is told of where something is to be fetched', t => {
  const dog = watch()
  t.same(dog.advance(200), [])
  dog.pulse = { ...WELL, isFetching: true, lastAnswerMs: 180 }
  t.same(dog.advance(75), [])
  t.same(dog.advance(50), ['broker 120'])
  t.end()
})

t.test('so is a group that does not take its member', t => {
  const dog = watch()
  dog.pulse = { ...WELL, memberlessSinceMs: 10 }
  t.same(dog.advance(125), ['group 115'])
  t.end()
})

t.test('where one thing gives way to another between two looks, the other is told too', t => {
  const dog = watch()
  dog.pulse = { ...WELL, taken: 1, hasData: true }
  t.same(dog.advance(125), ['handler 100'])
  dog.pulse = { ...WELL, taken: 2, isFetching: true, lastAnswerMs: 20 }
  t.same(dog.advance(25), ['broker 130'])
  t.end()
})
