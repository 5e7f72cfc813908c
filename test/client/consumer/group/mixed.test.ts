/**
 * Our members and those of kafkajs in one group, under either leader: every record comes once, and each goes on from
 * the other's commits. With SLUICE_TEST_BOOTSTRAP it is held against another broker.
 */
import kafkajs, { type Assigner, type PartitionAssigner } from 'kafkajs'
import t, { type Test } from 'tap'
import { startBroker } from '../../../../broker/testing.ts'
import { type AssignorName, type Consumer, Kafka } from '../../../../client/index.ts'
import { until } from '../../../helpers/until.ts'

const OTHER = process.env['SLUICE_TEST_BOOTSTRAP']
const PARTITIONS = 6
const broker = OTHER === undefined ? await startBroker() : null
const bootstrap = broker?.bootstrap ?? OTHER!
const kafka = new Kafka({ brokers: bootstrap })
const foreign = new kafkajs.Kafka({ brokers: [bootstrap], logLevel: kafkajs.logLevel.NOTHING })
const admin = kafka.admin()
const producer = kafka.producer()
t.teardown(async () => {
  await kafka.close()
  await broker?.[Symbol.asyncDispose]()
})

interface Part {
  readonly seen: number[]
  partitions(): number
  close(): Promise<void>
}

interface Group {
  readonly topic: string
  readonly groupId: string
}

async function ours(t: Test, { topic, groupId }: Group, assignors: readonly AssignorName[]): Promise<Part> {
  const consumer: Consumer = kafka.consumer({
    groupId,
    protocol: 'classic',
    assignors,
    heartbeatIntervalMs: 100,
    fetchMaxWaitMs: 100,
  })
  t.teardown(() => consumer.close())
  await consumer.subscribe({ topics: [topic], from: 'earliest' })
  const seen: number[] = []
  void consumer.run({ eachMessage: ({ value }) => void seen.push(Number(value)) })
  return { seen, partitions: () => consumer.assignment.length, close: () => consumer.close() }
}

/** kafkajs brings its own round robin alone: what others call range, as one may add it there. */
const range: PartitionAssigner = ({ cluster }): Assigner => ({
  name: 'range',
  version: 0,
  async assign({ members, topics }) {
    const { AssignerProtocol } = kafkajs
    const ids = members.map(({ memberId }) => memberId).sort()
    const parts = new Map<string, Record<string, number[]>>(ids.map(id => [id, {}]))
    for (const topic of topics) {
      const partitions = cluster.findTopicPartitionMetadata(topic).map(({ partitionId }) => partitionId)
      const count = partitions.length
      partitions
        .sort((a, b) => a - b)
        .forEach((partition, index) => {
          const part = parts.get(ids[Math.floor((index * ids.length) / count)]!)!
          ;(part[topic] ??= []).push(partition)
        })
    }
    return [...parts].map(([memberId, assignment]) => ({
      memberId,
      memberAssignment: AssignerProtocol.MemberAssignment.encode({
        version: 0,
        assignment,
        userData: Buffer.alloc(0),
      }),
    }))
  },
  protocol({ topics }) {
    const metadata = kafkajs.AssignerProtocol.MemberMetadata.encode({
      version: 0,
      topics,
      userData: Buffer.alloc(0),
    })
    return { name: 'range', metadata }
  },
})

async function theirs(t: Test, { topic, groupId }: Group, assigners: PartitionAssigner[]): Promise<Part> {
  const consumer = foreign.consumer({
    groupId,
    heartbeatInterval: 100,
    maxWaitTimeInMs: 100,
    partitionAssigners: assigners,
  })
  let count = 0
  let closed: Promise<void> | null = null
  const close = (): Promise<void> => (closed ??= consumer.disconnect())
  t.teardown(close)
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    count = payload.memberAssignment[topic]?.length ?? 0
  })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const seen: number[] = []
  await consumer.run({ eachMessage: async ({ message }) => void seen.push(Number(message.value)) })
  return { seen, partitions: () => count, close }
}

const cases: readonly (readonly [string, readonly AssignorName[], PartitionAssigner[]])[] = [
  [
    'RoundRobinAssigner, as kafkajs does by itself',
    ['RoundRobinAssigner'],
    [kafkajs.PartitionAssigners.roundRobin],
  ],
  ['range', ['range'], [range]],
  [
    'what they have in common, among others',
    ['cooperative-sticky', 'range', 'RoundRobinAssigner'],
    [kafkajs.PartitionAssigners.roundRobin],
  ],
]

for (const [name, assignors, assigners] of cases) {
  for (const leader of ['ours', 'theirs'] as const) {
    t.test(`${name}, led by ${leader}`, async t => {
      const topic = `mixed-${process.pid}-${Date.now()}-${leader}`
      const group = { topic, groupId: `group ${topic}` }
      await admin.createTopics({ topics: [{ topic, partitions: PARTITIONS, replicationFactor: 1 }] })
      let sent = 0
      const fill = async (): Promise<void> => {
        const messages = Array.from({ length: 60 }, () => ({
          partition: sent % PARTITIONS,
          value: String(sent++),
        }))
        await producer.send({ topic, messages })
      }
      const joinOurs = (): Promise<Part> => ours(t, group, assignors)
      const joinTheirs = (): Promise<Part> => theirs(t, group, assigners)
      const [first, second] = leader === 'ours' ? [joinOurs, joinTheirs] : [joinTheirs, joinOurs]
      const a = await first()
      await until(() => a.partitions() === PARTITIONS, 'the first has all')
      await fill()
      await until(() => a.seen.length === 60, 'and reads all')
      const b = await second()
      await until(() => a.partitions() === 3 && b.partitions() === 3, 'they share')
      await fill()
      await until(() => a.seen.length + b.seen.length >= 120, 'both read')
      await a.close()
      await until(() => b.partitions() === PARTITIONS, 'the other takes over')
      await fill()
      await until(() => a.seen.length + b.seen.length >= 180, 'and goes on where the first left')
      const all = [...a.seen, ...b.seen].sort((x, y) => x - y)
      t.same(
        all,
        Array.from({ length: 180 }, (_, index) => index),
        'every record once',
      )
    })
  }
}
