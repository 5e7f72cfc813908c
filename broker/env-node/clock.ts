/** The real clocks and timers. */
import { type Clock, type TimerHandle, type Timers } from '../env.ts'

export function createNodeClock(): Clock {
  return {
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
  }
}

export function createNodeTimers(): Timers {
  const turn = new TurnEnd()
  return {
    set(delayMs, callback) {
      // Node counts in whole milliseconds from a start that is rounded down, so it may call up to one too early.
      const timeout = setTimeout(callback, Math.ceil(delayMs) + 1)
      timeout.unref()
      return timeout as unknown as TimerHandle
    },
    clear(handle) {
      clearTimeout(handle as unknown as NodeJS.Timeout)
    },
    endOfTurn: callback => turn.add(callback),
  }
}

/**
 * The check phase follows the poll phase, in which sockets are read. Two rounds are booked in it, with promises
 * settling
 * in between: what the first round gives rise to (a write answers requests, their answers are ready to be sent) is
 * carried out in the second, and not after another look at all sockets.
 */
class TurnEnd {
  #callbacks: (() => void)[] = []
  #roundsBooked = 0
  readonly #round = (): void => {
    this.#roundsBooked--
    const callbacks = this.#callbacks
    if (callbacks.length === 0) return
    this.#callbacks = []
    let next = 0
    try {
      while (next < callbacks.length) callbacks[next++]!()
    } finally {
      // One that throws must not take the others with it.
      for (const left of callbacks.slice(next)) this.add(left)
    }
  }

  add(callback: () => void): void {
    this.#callbacks.push(callback)
    if (this.#roundsBooked > 0) return
    this.#roundsBooked = 2
    setImmediate(this.#round)
    setImmediate(this.#round)
  }
}
