/** Kafka's own tools and Java producer against three brokers: they see the cluster, move its partitions, and miss nothing. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { startCluster, type TestCluster } from '../../broker/testing.ts'
import {
  CONFIGS,
  CONSOLE_CONSUMER,
  kafkaTool,
  LOG_DIRS,
  runKafka,
  TOPICS,
  VERIFIABLE_PRODUCER,
  withoutKafkaTools,
} from './kafka-tools.ts'

const REASSIGN = 'org.apache.kafka.tools.reassign.ReassignPartitionsCommand'
const ELECT = 'org.apache.kafka.tools.LeaderElectionCommand'
const ENDPOINTS = 'org.apache.kafka.tools.ClusterTool'
const QUORUM = 'org.apache.kafka.tools.MetadataQuorumCommand'

t.setTimeout(180_000)

/** Of a partition, as the tool prints it: leader, replicas and those in sync. */
const line = (leader: number, replicas: string, isr: string | RegExp): RegExp =>
  new RegExp(`Leader: ${leader}\tReplicas: ${replicas}\tIsr: ${isr instanceof RegExp ? isr.source : isr}\t`)

async function start(t: Test, topics: Record<string, number>) {
  const cluster = await startCluster({ topics })
  const folder = await mkdtemp(join(tmpdir(), 'sluice-plans-'))
  t.teardown(async () => {
    await cluster.stop()
    await rm(folder, { recursive: true, force: true })
  })
  const tool = (mainClass: string, ...args: string[]): Promise<string> =>
    kafkaTool(mainClass, ['--bootstrap-server', cluster.bootstrap, ...args])
  const file = async (name: string, content: string): Promise<string> => {
    const path = join(folder, name)
    await writeFile(path, content)
    return path
  }
  return { cluster, tool, file }
}

t.test('the tools that show a cluster and change it', { skip: withoutKafkaTools }, async t => {
  const { cluster, tool, file } = await start(t, { orders: 2 })
  const plan = (content: object): Promise<string> =>
    file(`${plans++}.json`, JSON.stringify({ version: 1, ...content }))
  let plans = 0

  const endpoints = await kafkaTool(ENDPOINTS, ['list-endpoints', '--bootstrap-server', cluster.bootstrap])
  t.equal(endpoints.match(/unfenced {3}broker/g)?.length, 3)
  const described = await tool(TOPICS, '--describe', '--topic', 'orders')
  t.match(described, line(cluster.leaderOf('orders', 0)!, '2,3,1', '2,3,1'))
  const quorum = await runKafka(QUORUM, ['--bootstrap-server', cluster.bootstrap, 'describe', '--status'])
  t.match(
    quorum.stderr.toString(),
    /does not support DESCRIBE_QUORUM/,
    'there is no quorum of ours to describe',
  )

  const topics = await plan({ topics: [{ topic: 'orders' }] })
  const proposal = await tool(
    REASSIGN,
    ...['--generate', '--topics-to-move-json-file', topics, '--broker-list', '1,2,3'],
  )
  t.match(proposal, /Proposed partition reassignment configuration\s+\{"version":1/)

  const partitions = [
    { topic: 'orders', partition: 0, replicas: [3, 2, 1] },
    { topic: 'orders', partition: 1, replicas: [1, 2] },
  ]
  const moves = ['--reassignment-json-file', await plan({ partitions })]
  t.match(
    await tool(REASSIGN, '--execute', ...moves, '--throttle', '50000000'),
    /Successfully started partition reassignments for orders-0,orders-1/,
  )
  await cluster.waitForSync('orders')
  const verified = await tool(REASSIGN, '--verify', ...moves)
  t.match(
    verified,
    /orders-0 is completed[\s\S]*orders-1 is completed[\s\S]*Clearing broker-level throttles on brokers 1,2,3/,
  )
  t.match(await tool(REASSIGN, '--list'), /No partition reassignments found/)
  t.notMatch(await tool(CONFIGS, '--entity-type', 'brokers', '--describe'), /throttled/)

  const election = await plan({ partitions: [{ topic: 'orders', partition: 0 }] })
  t.match(
    await tool(ELECT, '--election-type', 'preferred', '--path-to-json-file', election),
    /completed leader election \(PREFERRED\) for partitions orders-0|Valid replica already elected for partitions orders-0/,
  )
  const moved = await tool(TOPICS, '--describe', '--topic', 'orders')
  t.match(moved, line(3, '3,2,1', /[123],[123],[123]/))
  t.match(moved, line(1, '1,2', /[12],[12]/))

  t.match(
    await tool(TOPICS, '--create', '--topic', 'placed', '--replica-assignment', '1:2,2:3'),
    /Created topic placed/,
  )
  await cluster.kill(2)
  await cluster.waitForLeader('placed', 1, { not: 2, timeoutMs: 10_000 })
  const under = await tool(TOPICS, '--describe', '--under-replicated-partitions', '--topic', 'placed')
  t.match(under, new RegExp(`${line(1, '1,2', '1').source}Elr: 2`))
  t.match(under, new RegExp(`${line(3, '2,3', '3').source}Elr: 2`))
  t.match(await tool(LOG_DIRS, '--describe', '--topic-list', 'placed'), /information from brokers 1,3/)
})

/** The values of all records, as the console consumer prints them. */
async function consumed(cluster: TestCluster, topic: string, count: number): Promise<string[]> {
  const wanted = ['--from-beginning', '--max-messages', String(count), '--timeout-ms', '30000']
  const printed = await kafkaTool(CONSOLE_CONSUMER, [
    ...['--bootstrap-server', cluster.bootstrap, '--topic', topic],
    ...wanted,
  ])
  return printed.trim().split('\n')
}

t.test('the Java producer writes on while leaders die', { skip: withoutKafkaTools }, async t => {
  const { cluster, tool, file } = await start(t, { orders: 3 })
  const count = 3000
  // By itself this tool does without.
  const retrying = ['--producer.config', await file('producer.properties', 'retries=2147483647\n')]
  const wanted = ['--topic', 'orders', '--max-messages', String(count), '--throughput', '600', '--acks', '-1']
  const producing = tool(VERIFIABLE_PRODUCER, ...retrying, ...wanted)
  await cluster.waitForRecords('orders', records => records.length > 100, { timeoutMs: 30_000 })
  for (const victim of [1, 2, 3]) {
    await cluster.kill(victim)
    const { length } = await cluster.waitForRecords('orders', 0)
    await cluster.waitForRecords('orders', records => records.length > length + 300, { timeoutMs: 30_000 })
    await cluster.restart(victim)
    await cluster.waitForSync('orders', { timeoutMs: 10_000 })
  }
  t.match(await producing, new RegExp(`"name":"tool_data".*"sent":${count},"acked":${count}`))
  const values = await consumed(cluster, 'orders', count)
  t.same(
    values.map(Number).toSorted((a, b) => a - b),
    Array.from({ length: count }, (_, index) => index),
  )
})
