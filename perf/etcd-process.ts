/**
 * An etcd as a process of its own, for as long as this process runs: how it is told what it is to be, when it serves,
 * and its end by SIGKILL. Needs `etcd` in PATH (Debian: `etcd-server`).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

const START_TIMEOUT_MS = 30_000

export interface EtcdMember {
  readonly name: string
  readonly folder: string
  /** URLs that it listens on and tells others: for clients, and for the other members. */
  readonly client: string
  readonly peer: string
  /** All members, as `name=peer,name=peer`. Absent: it is the only one. */
  readonly cluster?: string
}

export function etcdArguments({ name, folder, client, peer, cluster }: EtcdMember): string[] {
  return [
    ...['--name', name, '--data-dir', folder, '--log-outputs', 'stderr', '--logger', 'zap'],
    ...['--listen-client-urls', client, '--advertise-client-urls', client],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
    ...['--initial-cluster', cluster ?? `${name}=${peer}`],
  ]
}

export interface EtcdProcess {
  readonly child: ChildProcess
  /** All that it has printed. */
  output(): string
  /** SIGKILL. Resolves when it is gone. */
  kill(): Promise<void>
}

/** Resolves when it serves. Rejects, with what it printed, where it does not start; then nothing of it is left. */
export async function startEtcd(args: readonly string[]): Promise<EtcdProcess> {
  const child = spawn('etcd', [...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  // Whoever runs out of time kills nothing.
  const killWithUs = (): void => void child.kill('SIGKILL')
  process.once('exit', killWithUs)
  child.once('exit', () => process.off('exit', killWithUs))
  let printed = ''
  let isServing = false
  try {
    await new Promise<void>((resolve, reject) => {
      const deadline = setTimeout(() => {
        reject(new Error(`etcd does not serve after ${START_TIMEOUT_MS} ms:\n${printed}`))
      }, START_TIMEOUT_MS)
      const settle = (end: () => void): void => {
        clearTimeout(deadline)
        end()
      }
      child.stderr.on('data', (chunk: Buffer) => {
        printed += chunk.toString('utf8')
        if (isServing || !/serving (insecure |TLS )?client (requests|traffic)/.test(printed)) return
        isServing = true
        settle(resolve)
      })
      child.once('error', error =>
        settle(() =>
          reject(new Error('etcd cannot be run. Debian: apt-get install etcd-server.', { cause: error })),
        ),
      )
      child.once('close', code =>
        settle(() => reject(new Error(`etcd ended with code ${code} before it served:\n${printed}`))),
      )
    })
  } catch (error) {
    await kill(child)
    throw error
  }
  return { child, output: () => printed, kill: () => kill(child) }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}
