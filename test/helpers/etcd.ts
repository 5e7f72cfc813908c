/**
 * An etcd of its own for a test: one member or several, on free ports of the loopback, in temporary folders. A member
 * keeps its ports and its folder over restarts.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type EtcdMember, etcdArguments, startEtcd } from '../../perf/etcd-process.ts'
import { freePorts } from '../../perf/free-ports.ts'
import { missing } from './foreign.ts'
import { until } from './until.ts'

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
  /** SIGSTOP and SIGCONT: it is there and says nothing. Resolves when no thread of it runs any more. */
  pause(): Promise<void>
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
  const [member] = await spawnMembers(1, options)
  if (member === undefined) throw new Error('one was asked for')
  return member
}

export interface EtcdCluster {
  readonly members: readonly EtcdProcess[]
  readonly endpoints: readonly string[]
  [Symbol.asyncDispose](): Promise<void>
}

/** The same for several members that are one cluster. */
export async function spawnEtcdCluster(size: number, options: EtcdOptions = {}): Promise<EtcdCluster> {
  const members = await spawnMembers(size, options)
  return {
    members,
    endpoints: members.map(({ endpoint }) => endpoint),
    [Symbol.asyncDispose]: async () => {
      for (const member of members) await member[Symbol.asyncDispose]()
    },
  }
}

async function spawnMembers(size: number, options: EtcdOptions): Promise<EtcdProcess[]> {
  const scheme = options.secure === true ? 'https' : 'http'
  const ports = await freePorts(2 * size)
  const peers = ports.slice(size).map(port => `http://127.0.0.1:${port}`)
  const cluster = peers.map((peer, index) => `member-${index}=${peer}`).join(',')
  const started = await Promise.allSettled(
    peers.map((peer, index) => {
      const client = `${scheme}://127.0.0.1:${ports[index]}`
      return spawnMember({ name: `member-${index}`, client, peer, cluster }, options.args ?? [])
    }),
  )
  const members = started.flatMap(result => (result.status === 'fulfilled' ? [result.value] : []))
  const failed = started.find(result => result.status === 'rejected')
  if (failed === undefined) return members
  for (const member of members) await member[Symbol.asyncDispose]()
  throw failed.reason
}

async function spawnMember(
  member: Omit<EtcdMember, 'folder'>,
  more: readonly string[],
): Promise<EtcdProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-etcd-'))
  const args = [...etcdArguments({ ...member, folder: join(folder, 'data') }), ...more]
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true })
  let running: Awaited<ReturnType<typeof startEtcd>>
  try {
    running = await startEtcd(args)
  } catch (error) {
    await remove()
    throw error
  }
  return {
    endpoint: member.client,
    get pid() {
      return running.child.pid ?? -1
    },
    output: () => running.output(),
    kill: () => running.kill(),
    restart: async () => {
      await running.kill()
      running = await startEtcd(args)
    },
    pause: async () => {
      running.child.kill('SIGSTOP')
      await until(() => isStopped(running.child.pid ?? -1), 'etcd stands still')
    },
    resume: () => void running.child.kill('SIGCONT'),
    [Symbol.asyncDispose]: async () => {
      await running.kill()
      await remove()
    },
  }
}

/** Where there is no /proc it is taken on trust. */
function isStopped(pid: number): boolean {
  const tasks = `/proc/${pid}/task`
  if (!existsSync(tasks)) return true
  return readdirSync(tasks).every(task =>
    /^State:\tT/m.test(readFileSync(join(tasks, task, 'status'), 'utf8')),
  )
}
