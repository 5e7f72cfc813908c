/**
 * kafkajs in consumer groups, against a broker in a process of its own: two members share a topic, one goes, and a
 * kill -9 of the broker in the middle loses neither a record nor an offset.
 */
import kafkajs, { type Consumer, type Kafka } from 'kafkajs'
import t from 'tap'
import { type BrokerProcess, spawnBroker } from '../helpers/broker-process.ts'
import { until } from '../helpers/until.ts'

const { logLevel } = kafkajs
const PARTITIONS = 6
const TOPIC = 'orders'

function clientOf(broker: BrokerProcess): Kafka {
  return new kafkajs.Kafka({
    brokers: [broker.bootstrap],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 20 },
  })
}

async function produce(kafka: Kafka, from: number, count: number): Promise<void> {
  const producer = kafka.producer()
  await producer.connect()
  const messages = Array.from({ length: count }, (_, index) => ({
    partition: (from + index) % PARTITIONS,
    value: String(from + index),
  }))
  await producer.send({ topic: TOPIC, messages })
  await producer.disconnect()
}

interface Member {
  readonly consumer: Consumer
  readonly seen: string[]
  /** Partitions of the last assignment. */
  assigned(): readonly number[]
}

async function join(kafka: Kafka, groupId: string): Promise<Member> {
  // kafkajs sends heartbeats between its fetches alone: long ones would draw out every rebalance.
  const waits = { sessionTimeout: 6000, heartbeatInterval: 200, maxWaitTimeInMs: 200 }
  const consumer = kafka.consumer({ groupId, ...waits })
  const seen: string[] = []
  let assigned: readonly number[] = []
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    assigned = payload.memberAssignment[TOPIC] ?? []
  })
  await consumer.connect()
  await consumer.subscribe({ topic: TOPIC, fromBeginning: true })
  await consumer.run({
    autoCommitThreshold: 1,
    eachMessage: async ({ message }) => {
      seen.push(message.value?.toString() ?? '')
    },
  })
  return { consumer, seen, assigned: () => assigned }
}

async function committed(kafka: Kafka, groupId: string): Promise<number> {
  const admin = kafka.admin()
  await admin.connect()
  try {
    const [topic] = await admin.fetchOffsets({ groupId, topics: [TOPIC] })
    const offsets = topic?.partitions.map(({ offset }) => Math.max(0, Number(offset))) ?? []
    return offsets.reduce((sum, offset) => sum + offset, 0)
  } finally {
    await admin.disconnect()
  }
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index))
const sorted = (values: readonly string[]): string[] =>
  [...values].sort((left, right) => Number(left) - Number(right))

t.test('two members share the partitions, and the one that stays takes over', async t => {
  await using broker = await spawnBroker({
    properties: { 'num.partitions': PARTITIONS, 'group.initial.rebalance.delay.ms': 0 },
  })
  const kafka = clientOf(broker)
  await produce(kafka, 0, 60)
  const first = await join(kafka, 'sharing')
  await until(() => first.seen.length === 60, 'the first member has read all')
  const second = await join(kafka, 'sharing')
  await until(
    () => first.assigned().length === PARTITIONS / 2 && second.assigned().length === PARTITIONS / 2,
    'both have half of the partitions',
  )
  t.same([...first.assigned(), ...second.assigned()].sort(), [0, 1, 2, 3, 4, 5])
  await produce(kafka, 60, 60)
  await until(() => first.seen.length + second.seen.length === 120, 'both have read all')
  t.equal(second.seen.length, 30)
  await second.consumer.disconnect()
  await until(() => first.assigned().length === PARTITIONS, 'the first has them all again')
  await produce(kafka, 120, 60)
  await until(() => first.seen.length + second.seen.length === 180, 'and reads on')
  await first.consumer.disconnect()
  t.same(sorted([...first.seen, ...second.seen]), numbers(180), 'every record once')
  t.equal(await committed(kafka, 'sharing'), 180)

  const admin = kafka.admin()
  await admin.connect()
  t.same((await admin.listGroups()).groups, [{ groupId: 'sharing', protocolType: 'consumer' }])
  const { groups } = await admin.describeGroups(['sharing'])
  t.match(groups, [{ state: 'Empty', members: [] }])
  await admin.deleteGroups(['sharing'])
  t.same((await admin.listGroups()).groups, [])
  await admin.disconnect()
})

t.test('a kill -9 of the broker loses no record and no offset, and nobody has to start anew', async t => {
  await using broker = await spawnBroker({
    properties: { 'num.partitions': PARTITIONS, 'group.initial.rebalance.delay.ms': 0 },
  })
  const kafka = clientOf(broker)
  await produce(kafka, 0, 60)
  const member = await join(kafka, 'crashing')
  await until(() => member.seen.length === 60, 'all is read')
  await until(async () => (await committed(kafka, 'crashing')) === 60, 'all is committed')
  await broker.restart()
  t.equal(await committed(kafka, 'crashing'), 60, 'offsets survive')
  await produce(kafka, 60, 60)
  await until(() => new Set(member.seen).size === 120, 'the member reads on')
  await member.consumer.disconnect()
  t.same(sorted([...new Set(member.seen)]), numbers(120))

  await broker.restart()
  const next = await join(kafka, 'crashing')
  await produce(kafka, 120, 6)
  await until(() => next.seen.length >= 6, 'the next one goes on where it was left')
  t.same(sorted(next.seen), ['120', '121', '122', '123', '124', '125'])
  await next.consumer.disconnect()
})
