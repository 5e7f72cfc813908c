/**
 * A broker as a process of its own, for tests that kill it. It listens on a free port of the loopback and keeps
 * that port over restarts, as clients expect of an address.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../..', import.meta.url))
const START_TIMEOUT_MS = 30_000

export interface BrokerProcess {
  /** `127.0.0.1:<port>` */
  readonly bootstrap: string
  readonly dataFolder: string
  readonly pid: number
  /** Everything the broker has printed since its last start. */
  readonly output: () => string
  /** SIGKILL: no farewell, nothing flushed. Resolves when the process is gone. */
  kill(): Promise<void>
  /** SIGTERM: a clean stop. Resolves to the exit code. */
  stop(): Promise<number | null>
  /** Starts again on the same port and folder; resolves when it answers. */
  restart(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface BrokerProcessOptions {
  /** Lines of server.properties beyond the listener and the folder. */
  readonly properties?: Readonly<Record<string, string | number | boolean>>
  /** Folder to run on; by default a temporary one that disposal removes. */
  readonly dataFolder?: string
}

/** Rejects, with what the broker printed, when it does not start; then nothing of it is left. */
export async function spawnBroker(options: BrokerProcessOptions = {}): Promise<BrokerProcess> {
  const home = await mkdtemp(join(tmpdir(), 'sluice-process-'))
  const dataFolder = options.dataFolder ?? join(home, 'data')
  const configFile = join(home, 'server.properties')
  const lines = Object.entries(options.properties ?? {}).map(([name, value]) => `${name}=${value}`)
  await writeFile(configFile, `${lines.join('\n')}\n`)

  const remove = (): Promise<void> => rm(home, { recursive: true, force: true })
  let running: Running
  try {
    running = await start(dataFolder, configFile, '127.0.0.1:0')
  } catch (error) {
    await remove()
    throw error
  }
  const { bootstrap } = running
  const broker: BrokerProcess = {
    bootstrap,
    dataFolder,
    get pid() {
      return running.child.pid ?? -1
    },
    output: () => running.output(),
    kill: async () => {
      await end(running.child, 'SIGKILL')
    },
    stop: () => end(running.child, 'SIGTERM'),
    restart: async () => {
      await end(running.child, 'SIGKILL')
      running = await start(dataFolder, configFile, bootstrap)
    },
    [Symbol.asyncDispose]: async () => {
      await end(running.child, 'SIGKILL')
      await remove()
    },
  }
  return broker
}

interface Running {
  child: ChildProcess
  bootstrap: string
  output: () => string
}

async function start(dataFolder: string, configFile: string, listen: string): Promise<Running> {
  const entry = join(root, 'broker/main.ts')
  const child = spawn(
    process.execPath,
    ['--import=tsx', entry, '--config', configFile, '--data', dataFolder, '--listen', listen],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let printed = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    printed += chunk.toString('utf8')
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    printed += chunk.toString('utf8')
  })
  try {
    const bootstrap = await new Promise<string>((resolve, reject) => {
      const deadline = setTimeout(() => {
        reject(
          new Error(`the broker did not say where it listens within ${START_TIMEOUT_MS} ms:\n${printed}`),
        )
      }, START_TIMEOUT_MS)
      child.stdout?.on('data', () => {
        // A chunk may end within the port.
        const where = /\b(127\.0\.0\.1:\d+)\D/.exec(printed)?.[1]
        if (where === undefined) return
        clearTimeout(deadline)
        resolve(where)
      })
      child.once('close', code => {
        clearTimeout(deadline)
        reject(new Error(`the broker ended with ${code} before it listened:\n${printed}`))
      })
    })
    return { child, bootstrap, output: () => printed }
  } catch (error) {
    await end(child, 'SIGKILL')
    throw error
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }
  return child.exitCode
}
