/**
 * What is wrong with a cluster, from what its brokers tell of it. A partition counts under the worst that is true of
 * it. Pure, but for the one function that asks.
 */
import type { Admin, BrokerDescription, TopicDescription } from '../../client/index.ts'

export type Ailment = 'offline' | 'under-min-isr' | 'under-replicated' | 'fenced-broker'

export interface Finding {
  readonly problem: Ailment
  /** A partition as topic-N, or a broker. */
  readonly what: string
  readonly detail: string
}

export interface Health {
  readonly healthy: boolean
  readonly brokers: number
  readonly fencedBrokers: readonly number[]
  readonly partitions: number
  /** The worst first. */
  readonly findings: readonly Finding[]
  /** Led by another replica than the preferred one; no illness. */
  readonly notPreferred: number
}

export interface ClusterFacts {
  readonly brokers: readonly Pick<BrokerDescription, 'id' | 'fenced'>[]
  readonly topics: readonly TopicDescription[]
  /** min.insync.replicas by topic; where a topic is missing 1 counts. */
  readonly minIsr: ReadonlyMap<string, number>
}

const WORST_FIRST: readonly Ailment[] = ['offline', 'under-min-isr', 'under-replicated', 'fenced-broker']
const MIN_ISR = 'min.insync.replicas'

export async function clusterFacts(admin: Admin, signal: AbortSignal): Promise<ClusterFacts> {
  const [{ brokers }, listed] = await Promise.all([
    admin.describeCluster({ includeFenced: true, signal }),
    admin.listTopics({ internal: true, signal }),
  ])
  const names = listed.map(({ topic }) => topic)
  if (names.length === 0) return { brokers, topics: [], minIsr: new Map() }
  const resources = names.map(name => ({ type: 'topic' as const, name, names: [MIN_ISR] }))
  const [topics, configs] = await Promise.all([
    admin.describeTopics({ topics: names, includeElr: true, signal }),
    admin.describeConfigs({ resources, signal }),
  ])
  const minIsr = configs.map(({ name, entries }) => [name, Number(entries[0]?.value ?? 1)] as const)
  return { brokers, topics, minIsr: new Map(minIsr) }
}

export function healthOf({ brokers, topics, minIsr }: ClusterFacts): Health {
  const findings: Finding[] = []
  let partitions = 0
  let notPreferred = 0
  for (const { topic, partitions: each } of topics) {
    for (const partition of each) {
      partitions += 1
      const { leader, replicas, isr } = partition
      if (leader >= 0 && leader !== replicas[0]) notPreferred += 1
      // More replicas in sync than there are nobody can ask for.
      const needed = Math.min(minIsr.get(topic) ?? 1, replicas.length)
      const what = `${topic}-${partition.partition}`
      const inSync = `in sync ${isr.join(',') || 'none'} of ${replicas.join(',')}`
      if (leader < 0) {
        const eligible = (partition.elr ?? []).join(',')
        const detail = `nobody leads it; ${inSync}${eligible === '' ? '' : `; eligible ${eligible}`}`
        findings.push({ problem: 'offline', what, detail })
      } else if (isr.length < needed) {
        findings.push({
          problem: 'under-min-isr',
          what,
          detail: `${inSync}, needs ${needed} to take acks=all`,
        })
      } else if (isr.length < replicas.length)
        findings.push({ problem: 'under-replicated', what, detail: inSync })
    }
  }
  const fencedBrokers = brokers.filter(({ fenced }) => fenced).map(({ id }) => id)
  for (const id of fencedBrokers) {
    findings.push({
      problem: 'fenced-broker',
      what: `broker ${id}`,
      detail: 'takes no part: it is down, or cut off',
    })
  }
  findings.sort((a, b) => WORST_FIRST.indexOf(a.problem) - WORST_FIRST.indexOf(b.problem))
  return {
    healthy: findings.length === 0,
    brokers: brokers.length,
    fencedBrokers,
    partitions,
    findings,
    notPreferred,
  }
}
