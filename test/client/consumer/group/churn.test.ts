/**
 * Members that come and go all the time while records are written: as long as each leaves in good order every record
 * comes exactly once, in the order of its partition; and where the broker itself goes, at least once.
 */
import t, { type Test } from 'tap'
import { startBroker } from '../../../../broker/testing.ts'
import { type Consumer, type ConsumerOptions, Kafka } from '../../../../client/index.ts'
import { until } from '../../../helpers/until.ts'

const PARTITIONS = 8
const STEPS = 14
const FAST = { heartbeatIntervalMs: 100, fetchMaxWaitMs: 50 } as const

async function setUp(t: Test) {
  const broker = await startBroker({
    topics: { orders: PARTITIONS },
    configs: {
      'group.consumer.heartbeat.interval.ms': '100',
      'group.consumer.min.heartbeat.interval.ms': '50',
    },
  })
  const kafka = new Kafka({ brokers: broker.bootstrap, retry: { initialBackoffMs: 10, maxBackoffMs: 100 } })
  t.teardown(async () => {
    await kafka.close()
    await broker[Symbol.asyncDispose]()
  })
  const producer = kafka.producer({ lingerMs: 0 })
  let sent = 0
  const fill = async (count: number): Promise<void> => {
    const messages = Array.from({ length: count }, () => ({
      partition: sent % PARTITIONS,
      value: String(sent++),
    }))
    await producer.send({ topic: 'orders', messages })
  }
  return { broker, kafka, fill, sent: () => sent }
}

/** All that was read, by partition, in the order of reading. */
class Reads {
  readonly byPartition = Array.from({ length: PARTITIONS }, (): number[] => [])
  count = 0

  take(partition: number, value: number): void {
    this.byPartition[partition]!.push(value)
    this.count++
  }
}

interface Member {
  readonly consumer: Consumer
  readonly done: Promise<void>
}

async function join(kafka: Kafka, reads: Reads, options: Partial<ConsumerOptions>): Promise<Member> {
  const consumer = kafka.consumer({ groupId: 'g', ...FAST, ...options })
  await consumer.subscribe({ topics: ['orders'], from: 'earliest' })
  const done = consumer.run({
    concurrency: 3,
    eachMessage: async ({ partition, value }) => {
      await new Promise(resolve => setImmediate(resolve))
      reads.take(partition, Number(value))
    },
  })
  return { consumer, done }
}

const kinds: readonly (readonly [string, Partial<ConsumerOptions>])[] = [
  ['classic, cooperative', { protocol: 'classic', assignors: ['cooperative-sticky'] }],
  ['classic, eager', { protocol: 'classic', assignors: ['sticky'] }],
  ['consumer protocol', { protocol: 'consumer' }],
]

for (const [name, options] of kinds) {
  t.test(`${name}: coming and going costs no record and repeats none`, async t => {
    const { kafka, fill, sent } = await setUp(t)
    const reads = new Reads()
    const members = [await join(kafka, reads, options), await join(kafka, reads, options)]
    for (let step = 0; step < STEPS; step++) {
      const before = reads.count
      await fill(400)
      // In the middle of the work, wherever the group is in its rebalance.
      await until(() => reads.count > before + ((step * 37) % 200), 'reading goes on')
      if (members.length < 2 || (step % 3 !== 2 && members.length < 5)) {
        members.push(await join(kafka, reads, options))
      } else {
        const [leaver] = members.splice(step % members.length, 1)
        await leaver!.consumer.close()
        await leaver!.done
      }
    }
    await until(() => reads.count >= sent(), 'all is read')
    await Promise.all(members.map(({ consumer }) => consumer.close()))
    const expected = Array.from({ length: PARTITIONS }, (_, partition) =>
      Array.from(
        { length: Math.ceil((sent() - partition) / PARTITIONS) },
        (_, at) => partition + at * PARTITIONS,
      ),
    )
    t.same(reads.byPartition, expected)
  })
}

for (const protocol of ['classic', 'consumer'] as const) {
  t.test(`${protocol}: a broker that crashes loses no offset, and its members go on`, async t => {
    const { broker, kafka, fill, sent } = await setUp(t)
    const reads = new Reads()
    const options = { protocol, autoCommitIntervalMs: 50, sessionTimeoutMs: 6000 }
    const members = [await join(kafka, reads, options), await join(kafka, reads, options)]
    await fill(400)
    await until(() => reads.count === 400, 'read')
    const admin = kafka.admin()
    const committed = async (): Promise<number> =>
      (await admin.fetchOffsets({ groupId: 'g' })).reduce((sum, { offset }) => sum + Math.max(0, offset), 0)
    await until(async () => (await committed()) === 400, 'committed')
    await broker.kill()
    await broker.restart()
    t.equal(await committed(), 400)
    await fill(400)
    const seen = (): number => new Set(reads.byPartition.flat()).size
    await until(() => seen() === sent(), 'the rest is read')
    await Promise.all(members.map(({ consumer }) => consumer.close()))
    t.equal(await committed(), 800)
  })
}
