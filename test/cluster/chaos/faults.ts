/** What is done to a cluster: drawn by chance, brought about, and undone again. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type SeededRandom } from '../../../broker/env-memory/random.ts'
import { type ChaosCluster } from './nodes.ts'

export interface Fault {
  readonly name: string
  /** It leaves a majority of the brokers and etcd alone: all partitions must go on. */
  readonly isMinor: boolean
  readonly lastsMs: number
  begin(): Promise<void>
  /** Resolves when nothing of it is left; what it did to the cluster may take a while to heal. */
  end(): Promise<void>
}

const SHORTEST_MS = 1000
const LONGEST_MS = 15_000

type Make = (cluster: ChaosCluster, random: SeededRandom, lastsMs: number) => Fault

const kill: Make = (cluster, random, lastsMs) => {
  const broker = cluster.brokers[random.int(cluster.brokers.length)]!
  return {
    name: `kill -9 ${broker.name} for ${lastsMs} ms`,
    isMinor: true,
    lastsMs,
    begin: () => broker.end('SIGKILL'),
    end: () => broker.start(),
  }
}

const stop: Make = (cluster, random, lastsMs) => {
  const broker = cluster.brokers[random.int(cluster.brokers.length)]!
  return {
    name: `SIGTERM ${broker.name} for ${lastsMs} ms`,
    isMinor: true,
    lastsMs,
    begin: () => broker.end('SIGTERM'),
    end: () => broker.start(),
  }
}

const pause: Make = (cluster, random, lastsMs) => {
  const broker = cluster.brokers[random.int(cluster.brokers.length)]!
  return {
    name: `SIGSTOP ${broker.name} for ${lastsMs} ms`,
    isMinor: true,
    lastsMs,
    begin: () => Promise.resolve(broker.signal('SIGSTOP')),
    end: () => Promise.resolve(broker.signal('SIGCONT')),
  }
}

const killEtcd: Make = (cluster, _random, lastsMs) => ({
  name: `kill -9 etcd for ${lastsMs} ms`,
  isMinor: false,
  lastsMs,
  begin: () => cluster.etcd.end('SIGKILL'),
  end: () => cluster.etcd.start(),
})

const killAll: Make = (cluster, _random, lastsMs) => ({
  name: `kill -9 all brokers for ${lastsMs} ms`,
  isMinor: false,
  lastsMs,
  begin: async () => {
    await Promise.all(cluster.brokers.map(broker => broker.end('SIGKILL')))
  },
  end: async () => {
    await Promise.all(cluster.brokers.map(broker => broker.start()))
  },
})

/** One broker loses others, etcd, or both; in one direction or in both. */
const partition: Make = (cluster, random, lastsMs) => {
  const { name } = cluster.brokers[random.int(cluster.brokers.length)]!
  const others = cluster.brokers.map(broker => broker.name).filter(each => each !== name)
  const scopes = [
    { what: 'etcd', nodes: ['etcd'] },
    { what: 'the other brokers', nodes: others },
    { what: 'etcd and the other brokers', nodes: ['etcd', ...others] },
  ]
  const { what, nodes } = scopes[random.int(scopes.length)]!
  const direction = (['both ways', 'out', 'in'] as const)[random.int(3)]!
  return {
    name: `cut ${name} off ${what}, ${direction}, for ${lastsMs} ms`,
    isMinor: true,
    lastsMs,
    begin: () => {
      for (const node of nodes) {
        if (direction !== 'in') cluster.network.cut(name, node)
        if (direction !== 'out') cluster.network.cut(node, name)
      }
      return Promise.resolve()
    },
    end: () => Promise.resolve(cluster.network.heal()),
  }
}

/** What one broker sends gets through slowly, late, and in part not at all. */
const slow: Make = (cluster, random, lastsMs) => {
  const { name } = cluster.brokers[random.int(cluster.brokers.length)]!
  const kilobitsPerSecond = 200 * 2 ** random.int(5)
  const queueMs = 100 * 2 ** random.int(5)
  return {
    name: `slow link of ${name}, ${kilobitsPerSecond} kbit/s with a queue of ${queueMs} ms, for ${lastsMs} ms`,
    isMinor: true,
    lastsMs,
    begin: () => Promise.resolve(cluster.network.slow(name, kilobitsPerSecond, queueMs)),
    end: () => Promise.resolve(cluster.network.heal()),
  }
}

/** How often each kind is drawn. */
const KINDS = {
  kill: [kill, 2],
  pause: [pause, 2],
  stop: [stop, 1],
  etcd: [killEtcd, 1],
  all: [killAll, 1],
  partition: [partition, 4],
  slow: [slow, 2],
} as const satisfies Record<string, readonly [Make, number]>

export type FaultKind = keyof typeof KINDS
export const FAULT_KINDS = Object.keys(KINDS) as readonly FaultKind[]

export interface Drawing {
  /** Default: all that can be brought about here. */
  readonly kinds?: readonly FaultKind[] | undefined
  readonly longestMs?: number | undefined
}

export function drawFault(cluster: ChaosCluster, random: SeededRandom, drawing: Drawing = {}): Fault {
  const { kinds: wanted = FAULT_KINDS, longestMs = LONGEST_MS } = drawing
  const { limits, slowLimits } = cluster.network
  const impossible = new Set<FaultKind>()
  if (limits !== null) impossible.add('partition')
  if (slowLimits !== null) impossible.add('slow')
  const possible = wanted.filter(kind => !impossible.has(kind))
  const kinds = possible.flatMap(kind => Array.from({ length: KINDS[kind][1] }, () => KINDS[kind][0]))
  const lastsMs = Math.min(longestMs, SHORTEST_MS + random.int(LONGEST_MS - SHORTEST_MS))
  return kinds[random.int(kinds.length)]!(cluster, random, lastsMs)
}

/** Brings it about, waits, undoes it. */
export async function suffer(fault: Fault): Promise<void> {
  await fault.begin()
  await sleep(fault.lastsMs)
  await fault.end()
}
