/**
 * Loaded into a broker's process before the broker: watches its event loop, and tells its parent, when asked, how long
 * the loop was kept at most and what the process holds. It ends the broker when the parent is gone.
 */
import { readdirSync } from 'node:fs'

export interface Vitals {
  /** The longest that the event loop was kept since the last question, while the process was really at work. */
  readonly longestMs: number
  readonly rssMb: number
  readonly heapMb: number
  /** The most that it ever had. */
  readonly peakRssMb: number
  /** Open files and sockets; -1 where the system does not tell. */
  readonly descriptors: number
}

const EVERY_MS = 5

let longestMs = 0
let lastMs = performance.now()
let lastCpu = process.cpuUsage()

function look(): void {
  const nowMs = performance.now()
  const cpu = process.cpuUsage()
  const wallMs = nowMs - lastMs - EVERY_MS
  // A machine that is busy with others keeps a process waiting: that is not the broker's doing.
  const cpuMs = (cpu.user + cpu.system - lastCpu.user - lastCpu.system) / 1000
  longestMs = Math.max(longestMs, Math.min(wallMs, cpuMs))
  lastMs = nowMs
  lastCpu = cpu
}

function descriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return -1
  }
}

setInterval(look, EVERY_MS).unref()
process.on('disconnect', () => process.exit(0))
process.on('message', (question: { readonly collect: boolean }) => {
  look()
  const answer = longestMs
  if (question.collect) for (let round = 0; round < 2; round++) (globalThis as { gc?: () => void }).gc?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  const vitals: Vitals = {
    longestMs: answer,
    rssMb: rss / 2 ** 20,
    heapMb: (heapUsed + external) / 2 ** 20,
    peakRssMb: process.resourceUsage().maxRSS / 1024,
    descriptors: descriptors(),
  }
  longestMs = 0
  lastMs = performance.now()
  lastCpu = process.cpuUsage()
  process.send?.(vitals)
})
