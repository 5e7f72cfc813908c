/** Waits for what somebody else brings about: looks again and again until it is so. */
import { setTimeout as sleep } from 'node:timers/promises'

const LOOK_EVERY_MS = 20

/** Rejects, and says what did not come, after `timeoutMs`. */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 30_000,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs
  while (!(await isSo())) {
    if (performance.now() >= deadlineMs) throw new Error(`After ${timeoutMs} ms it is still not so: ${what}`)
    await sleep(LOOK_EVERY_MS)
  }
}
