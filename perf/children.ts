/**
 * Starts the benchmark's own processes (pipe, load generator) and talks with them over Node's channel. Works the same
 * from the sources (with the loader this process was started with) and from the build.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { DriverJob, DriverResult } from './driver-protocol.ts'
import type { PipeOptions, PipePorts } from './pipe-protocol.ts'

/** `.ts` in the sources, `.js` in the build. */
const EXTENSION = import.meta.url.slice(import.meta.url.lastIndexOf('.'))

/** Path of a module that lies beside or below this folder, as `../broker/main`. */
export function modulePath(name: string): string {
  return fileURLToPath(new URL(name + EXTENSION, import.meta.url))
}

/** Options that this Node was started with and that a child needs to read the same files. */
export function loaderArguments(): string[] {
  return process.execArgv.filter(
    argument => argument.startsWith('--import') || argument.startsWith('--loader'),
  )
}

export interface Child {
  readonly process: ChildProcess
  /** Ends the process and waits until it is gone. */
  stop(): Promise<void>
}

function startChild(name: string, args: readonly string[]): Child {
  const child = fork(modulePath(name), args, { execArgv: loaderArguments() })
  const exited = once(child, 'exit')
  return {
    process: child,
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        if (child.connected) child.disconnect()
        await exited
      }
    },
  }
}

/** Rejects when the child ends before it said anything. */
async function nextMessage<T>(child: ChildProcess, what: string): Promise<T> {
  const waiting = new AbortController()
  try {
    const ended = once(child, 'exit', { signal: waiting.signal }).then(([code]) => {
      throw new Error(`The ${what} ended with code ${String(code)} before it answered.`)
    })
    ended.catch(() => undefined)
    const [message] = await Promise.race([once(child, 'message', { signal: waiting.signal }), ended])
    return message as T
  } finally {
    waiting.abort()
  }
}

export async function startPipe(options: PipeOptions): Promise<Child & { readonly ports: PipePorts }> {
  const child = startChild('./pipe', [JSON.stringify(options)])
  const ports = await nextMessage<PipePorts>(child.process, 'pipe')
  return { ...child, ports }
}

/** Reads from the pipe's port `tail` until it is stopped. */
export async function startTailReader(port: number): Promise<Child> {
  const child = startChild('./tail-reader', [String(port)])
  await nextMessage(child.process, 'reader')
  return child
}

export interface Driver extends Child {
  /** One job at a time. Throws when the job failed. */
  run(job: DriverJob): Promise<DriverResult>
}

export function startDriver(): Driver {
  const child = startChild('./driver', [])
  return {
    ...child,
    run: async job => {
      const answer = nextMessage<DriverResult>(child.process, 'load generator')
      child.process.send(job)
      const result = await answer
      if (result.error !== null) throw new Error(result.error)
      return result
    },
  }
}
