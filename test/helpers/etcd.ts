/**
 * An etcd of its own for a test: one member on free ports of the loopback, in a temporary folder. It keeps its ports
 * and its folder over restarts.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { missing } from './foreign.ts'

const START_TIMEOUT_MS = 30_000

/** False where etcd can be run; else the sentence with which a test skips. */
export const withoutEtcd = missing('etcd', ['--version'], 'apt-get install etcd-server')

/** Its version, as 3.4.23; null where there is none. */
export function etcdVersion(): string | null {
  if (withoutEtcd !== false) return null
  return (
    /etcd Version: (\S+)/.exec(spawnSync('etcd', ['--version'], { encoding: 'utf8' }).stdout)?.[1] ?? null
  )
}

export interface EtcdProcess {
  /** `http://127.0.0.1:<port>`, or https with TLS. */
  readonly endpoint: string
  readonly pid: number
  /** Everything that it has printed since its last start. */
  readonly output: () => string
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>
  /** Starts again, on the same ports and folder; resolves when it serves. */
  restart(): Promise<void>
  /** SIGSTOP and SIGCONT: it is there and says nothing. */
  pause(): void
  resume(): void
  [Symbol.asyncDispose](): Promise<void>
}

export interface EtcdOptions {
  readonly args?: readonly string[]
  /** Files for `--cert-file` and the like are named in `args`; this says that clients speak TLS. */
  readonly secure?: boolean
}

/** Rejects, with what etcd printed, where it does not start; then nothing of it is left. */
export async function spawnEtcd(options: EtcdOptions = {}): Promise<EtcdProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-etcd-'))
  const scheme = options.secure === true ? 'https' : 'http'
  const endpoint = `${scheme}://127.0.0.1:${await freePort()}`
  const peer = `http://127.0.0.1:${await freePort()}`
  const args = [
    ...['--name', 'test', '--data-dir', join(folder, 'data'), '--log-outputs', 'stderr', '--logger', 'zap'],
    ...['--listen-client-urls', endpoint, '--advertise-client-urls', endpoint],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
    ...['--initial-cluster', `test=${peer}`],
    ...(options.args ?? []),
  ]
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true })
  let running: Running
  try {
    running = await start(args)
  } catch (error) {
    await remove()
    throw error
  }
  return {
    endpoint,
    get pid() {
      return running.child.pid ?? -1
    },
    output: () => running.output(),
    kill: () => end(running.child),
    restart: async () => {
      await end(running.child)
      running = await start(args)
    },
    pause: () => void running.child.kill('SIGSTOP'),
    resume: () => void running.child.kill('SIGCONT'),
    [Symbol.asyncDispose]: async () => {
      await end(running.child)
      await remove()
    },
  }
}

interface Running {
  child: ChildProcess
  output: () => string
}

async function start(args: readonly string[]): Promise<Running> {
  const child = spawn('etcd', [...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  let printed = ''
  try {
    await new Promise<void>((resolve, reject) => {
      const deadline = setTimeout(() => {
        reject(new Error(`etcd does not serve after ${START_TIMEOUT_MS} ms:\n${printed}`))
      }, START_TIMEOUT_MS)
      child.stderr?.on('data', (chunk: Buffer) => {
        printed += chunk.toString('utf8')
        if (!/serving (insecure |TLS )?client (requests|traffic)|serving client traffic/.test(printed)) return
        clearTimeout(deadline)
        resolve()
      })
      child.once('error', reject)
      child.once('close', code => {
        clearTimeout(deadline)
        reject(new Error(`etcd ended with ${code} before it served:\n${printed}`))
      })
    })
    return { child, output: () => printed }
  } catch (error) {
    await end(child)
    throw error
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port is free')
  return address.port
}
