/** The real clocks and timers. */
import { type Clock, type TimerHandle, type Timers } from '../env.ts'

export function createNodeClock(): Clock {
  return {
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
  }
}

export function createNodeTimers(): Timers {
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
    endOfTurn(callback) {
      // The check phase follows the poll phase, in which sockets are read; promises settle in between.
      setImmediate(callback)
    },
  }
}
