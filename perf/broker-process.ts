/**
 * The broker under test as a process of its own, from the build or from the sources as this process itself. It gets
 * a folder and a free port, and is stopped with SIGTERM.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { loaderArguments, modulePath } from './children.ts'

const START_TIMEOUT_MS = 30_000
const STOP_TIMEOUT_MS = 30_000

export interface BrokerProcess {
  readonly host: string
  readonly port: number
  readonly pid: number
  /** From the spawn to the line that says where it listens. */
  readonly startMs: number
  /** Resident memory now, in bytes; NaN where /proc does not tell. */
  residentBytes(): number
  /** Processor time since its start, of all its threads, in milliseconds; NaN where /proc does not tell. */
  cpuMs(): number
  stop(): Promise<void>
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>
}

export interface BrokerProcessOptions {
  /** An existing folder, for the config file and the data. */
  readonly directory: string
  readonly properties?: Readonly<Record<string, string | number | boolean>>
  /** Options of Node for the broker, as `--cpu-prof`. */
  readonly nodeArguments?: readonly string[]
  /** More flags of the broker's own, as `--broker-id`. */
  readonly flags?: readonly string[]
  /** On 127.0.0.1; without it a free one. */
  readonly port?: number
  /** Gets all that the broker prints from when it listens on. */
  readonly logFile?: string
}

/** Rejects when the broker ends, or has not said where it listens after 30 seconds. */
export async function startBrokerProcess(options: BrokerProcessOptions): Promise<BrokerProcess> {
  const { directory, properties = {}, nodeArguments = [], flags = [] } = options
  const configFile = join(directory, 'server.properties')
  const lines = Object.entries(properties).map(([name, value]) => `${name}=${value}\n`)
  await writeFile(configFile, lines.join(''))
  const startedAt = performance.now()
  const child = spawn(
    process.execPath,
    [
      ...loaderArguments(),
      ...nodeArguments,
      modulePath('../broker/main'),
      ...[
        '--config',
        configFile,
        '--data',
        join(directory, 'data'),
        '--listen',
        `127.0.0.1:${options.port ?? 0}`,
      ],
      ...flags,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const port = await listeningPort(child)
  if (options.logFile !== undefined) {
    const file = createWriteStream(options.logFile, { flags: 'a' })
    child.stdout.pipe(file)
    child.stderr.pipe(file)
  }
  return {
    host: '127.0.0.1',
    port,
    pid: child.pid ?? -1,
    startMs: performance.now() - startedAt,
    residentBytes: () => residentBytes(child.pid ?? -1),
    cpuMs: () => cpuMs(child.pid ?? -1),
    stop: () => stop(child),
    kill: () => kill(child),
  }
}

function listeningPort(child: ChildProcess): Promise<number> {
  let printed = ''
  return new Promise((resolve, reject) => {
    const deadline = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`The broker did not say where it listens within ${START_TIMEOUT_MS} ms:\n${printed}`))
    }, START_TIMEOUT_MS)
    const read = (chunk: Buffer): void => {
      printed += chunk.toString('utf8')
      const port = /\blistens on 127\.0\.0\.1:(\d+)\b/.exec(printed)?.[1]
      if (port === undefined) return
      clearTimeout(deadline)
      resolve(Number(port))
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', read)
    child.once('exit', code => {
      clearTimeout(deadline)
      reject(new Error(`The broker ended with code ${code} before it listened:\n${printed}`))
    })
  })
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGTERM')
  const deadline = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS)
  await gone
  clearTimeout(deadline)
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

/** What Linux counts processor time in, on every machine there is (USER_HZ). */
const CLOCK_TICK_MS = 10

/** utime and stime of a process on Linux. */
export function cpuMs(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [, , , , , , , , , , , utime, stime] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(utime) + Number(stime)) * CLOCK_TICK_MS
  } catch {
    return Number.NaN
  }
}

/** VmRSS of a process on Linux. */
export function residentBytes(pid: number): number {
  try {
    const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
    return kibibytes === undefined ? Number.NaN : Number(kibibytes) * 1024
  } catch {
    return Number.NaN
  }
}
