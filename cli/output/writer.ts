/**
 * Standard output with back-pressure and manners: a reader that goes away (`| head`) ends the command quietly, and a
 * slow one slows it down. Nothing else in the CLI writes to standard output.
 */
import { once } from 'node:events'

let closed = false
let listening = false
const closeListeners = new Set<() => void>()

function listen(): void {
  if (listening) return
  listening = true
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    closed = true
    for (const listener of closeListeners) listener()
  })
}

/** True once the reader of standard output is gone: there is no point in making more. */
export function outputClosed(): boolean {
  return closed
}

/** Calls back when the reader goes away. Returns how to stop listening. */
export function onOutputClosed(listener: () => void): () => void {
  listen()
  closeListeners.add(listener)
  return () => closeListeners.delete(listener)
}

/** Writes text or bytes as they are. A promise means that the reader is behind: wait for it before writing more. */
export function writeOut(data: string | Uint8Array): Promise<void> | undefined {
  listen()
  if (closed || process.stdout.write(data)) return undefined
  return drained()
}

async function drained(): Promise<void> {
  const stop = new AbortController()
  const unlisten = onOutputClosed(() => stop.abort())
  try {
    await once(process.stdout, 'drain', { signal: stop.signal })
  } catch {
    // The reader went away; `outputClosed` tells.
  } finally {
    unlisten()
  }
}
