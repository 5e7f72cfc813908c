/**
 * Apache Kafka's own consumer and tools in groups, in both protocols; its reading of our group records, and our reading
 * of those in a folder that it wrote.
 */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { spawnBroker } from '../helpers/broker-process.ts'
import {
  CONSOLE_CONSUMER,
  CONSOLE_PRODUCER,
  kafkaTool,
  runKafka,
  spawnKafka,
  TOPICS,
  withoutKafkaTools,
} from './kafka-tools.ts'

// Each program of Kafka takes seconds to start.
t.setTimeout(110_000)

const GROUPS = 'org.apache.kafka.tools.consumer.group.ConsumerGroupCommand'
const properties = {
  'num.partitions': 3,
  'offsets.topic.num.partitions': 1,
  'group.initial.rebalance.delay.ms': 0,
}

const lines = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `line-${String(from + index).padStart(3, '0')}`)

async function produce(bootstrap: string, values: readonly string[]): Promise<void> {
  await kafkaTool(
    CONSOLE_PRODUCER,
    ['--bootstrap-server', bootstrap, '--topic', 'orders'],
    values.map(value => `${value}\n`).join(''),
  )
}

async function consume(bootstrap: string, protocol: string, count: number): Promise<string[]> {
  const stdout = await kafkaTool(CONSOLE_CONSUMER, [
    ...['--bootstrap-server', bootstrap, '--topic', 'orders', '--group', protocol, '--from-beginning'],
    ...['--max-messages', String(count), '--timeout-ms', '30000'],
    ...['--consumer-property', `group.protocol=${protocol}`],
  ])
  return stdout
    .split('\n')
    .filter(line => line !== '')
    .sort()
}

/** `orders 0 10 10 0` of each partition: committed, end, lag. */
async function describe(bootstrap: string, group: string): Promise<string[]> {
  const stdout = await kafkaTool(GROUPS, ['--bootstrap-server', bootstrap, '--describe', '--group', group])
  return stdout
    .split('\n')
    .filter(line => line.startsWith(`${group} `))
    .map(line => line.split(/\s+/).slice(1, 6).join(' '))
    .sort()
}

const total = (described: readonly string[]): number =>
  described.reduce((sum, line) => sum + Number(line.split(' ')[2]), 0)

t.test(
  "Kafka's consumer and tools work in groups of both protocols",
  { skip: withoutKafkaTools },
  async t => {
    await using broker = await spawnBroker({ properties })
    const { bootstrap } = broker
    await produce(bootstrap, lines(0, 30))
    for (const protocol of ['classic', 'consumer']) {
      t.same(await consume(bootstrap, protocol, 30), lines(0, 30), protocol)
    }
    await broker.restart()
    await produce(bootstrap, lines(30, 10))
    for (const protocol of ['classic', 'consumer']) {
      t.same(await consume(bootstrap, protocol, 10), lines(30, 10), `${protocol}: only what is new`)
      const described = await describe(bootstrap, protocol)
      t.equal(described.length, 3)
      t.equal(total(described), 40)
      t.ok(
        described.every(line => line.endsWith(' 0')),
        'no lag',
      )
    }
    const list = await kafkaTool(GROUPS, ['--bootstrap-server', bootstrap, '--list', '--state', '--type'])
    t.match(list, /consumer\s+Consumer\s+Empty/)
    t.match(list, /classic\s+Classic\s+Empty/)
    const reset = ['--reset-offsets', '--to-earliest', '--execute', '--all-topics', '--group', 'classic']
    await kafkaTool(GROUPS, ['--bootstrap-server', bootstrap, ...reset])
    t.equal(total(await describe(bootstrap, 'classic')), 0)
    await kafkaTool(GROUPS, ['--bootstrap-server', bootstrap, '--delete', '--group', 'classic'])
    t.equal((await kafkaTool(GROUPS, ['--bootstrap-server', bootstrap, '--list'])).trim(), 'consumer')
    const topics = await kafkaTool(TOPICS, ['--bootstrap-server', bootstrap, '--list', '--exclude-internal'])
    t.equal(topics.trim(), 'orders')

    await broker.stop()
    const folder = join(broker.dataFolder, '__consumer_offsets-0')
    for (const name of (await readdir(folder)).filter(name => name.endsWith('.log'))) {
      if ((await stat(join(folder, name))).size === 0) continue
      const dump = await runKafka('kafka.tools.DumpLogSegments', [
        ...['--files', join(folder, name), '--print-data-log', '--offsets-decoder'],
      ])
      const printed = dump.stdout.toString()
      t.equal(dump.code, 0, dump.stderr)
      t.match(printed, /"group":"classic"/)
      t.match(printed, /"groupId":"consumer"/)
      t.notMatch(printed, /isvalid: false|Unknown|<DECODE/i)
    }
  },
)

t.test('groups in a folder that Kafka wrote go on', { skip: withoutKafkaTools }, async t => {
  await using kafka = await spawnKafka({ properties })
  await kafkaTool(TOPICS, [
    ...['--bootstrap-server', kafka.bootstrap, '--create', '--topic', 'orders', '--partitions', '3'],
  ])
  await produce(kafka.bootstrap, lines(0, 30))
  for (const protocol of ['classic', 'consumer']) {
    t.same(await consume(kafka.bootstrap, protocol, 30), lines(0, 30))
  }
  await kafka.stop()
  await using broker = await spawnBroker({ properties, dataFolder: kafka.dataFolder })
  await produce(broker.bootstrap, lines(30, 10))
  for (const protocol of ['classic', 'consumer']) {
    t.equal(total(await describe(broker.bootstrap, protocol)), 30, protocol)
    t.same(await consume(broker.bootstrap, protocol, 10), lines(30, 10))
  }
})
