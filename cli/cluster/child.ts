/**
 * A program that a command runs for as long as it runs itself: etcd, a broker. It is in a process group of its own, so
 * that Ctrl-C reaches the command alone, which then ends its programs in the order that is right for them.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export interface ChildOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  /** Each line that it prints. */
  readonly onLine: (line: string, from: 'stdout' | 'stderr') => void
}

const LONGEST_STOP_MS = 30_000

export class Child {
  readonly #process: ChildProcess
  readonly #ended: Promise<string>

  constructor({ command, args, environment, onLine }: ChildOptions) {
    const child = spawn(command, [...args], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    })
    this.#process = child
    createInterface({ input: child.stdout }).on('line', line => onLine(line, 'stdout'))
    createInterface({ input: child.stderr }).on('line', line => onLine(line, 'stderr'))
    this.#ended = new Promise(resolve => {
      child.once('error', error => resolve(error.message))
      child.once('close', (code, signal) => resolve(signal ?? `code ${code}`))
    })
    const killWithUs = (): void => void child.kill('SIGKILL')
    process.once('exit', killWithUs)
    void this.#ended.then(() => process.off('exit', killWithUs))
  }

  /** Undefined where it could not be started. */
  get pid(): number | undefined {
    return this.#process.pid
  }

  /** Resolves, when it has ended, to how: a signal, or a code. */
  get ended(): Promise<string> {
    return this.#ended
  }

  /** SIGKILL. Resolves when it has ended. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
  }

  /** The process does nothing (SIGSTOP) until it goes on (SIGCONT), or is killed. */
  halt(): void {
    this.#process.kill('SIGSTOP')
  }

  resume(): void {
    this.#process.kill('SIGCONT')
  }

  /** SIGTERM, and SIGKILL where that is not heard. Resolves when it has ended. */
  async stop(): Promise<void> {
    if (
      this.#process.pid === undefined ||
      this.#process.exitCode !== null ||
      this.#process.signalCode !== null
    )
      return
    const gone = once(this.#process, 'close')
    this.#process.kill('SIGTERM')
    // One that is halted hears nothing else.
    this.#process.kill('SIGCONT')
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), LONGEST_STOP_MS)
    await gone
    clearTimeout(timer)
  }
}
