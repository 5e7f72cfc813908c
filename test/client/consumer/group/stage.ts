/**
 * What the tests of groups share: a broker (or, with SLUICE_TEST_BOOTSTRAP, somebody else's), a topic and a group for
 * each test, and the small tools to look at who owns and who has read what.
 */
import t, { type Test } from 'tap'
import { startBroker } from '../../../../broker/testing.ts'
import { type Consumer, type ConsumerOptions, Kafka } from '../../../../client/index.ts'

const OTHER = process.env['SLUICE_TEST_BOOTSTRAP']
export const PROTOCOLS = ['classic', 'consumer'] as const
export type Protocol = (typeof PROTOCOLS)[number]

export const broker =
  OTHER === undefined
    ? await startBroker({
        configs: {
          'group.consumer.heartbeat.interval.ms': '100',
          'group.consumer.min.heartbeat.interval.ms': '50',
          'group.min.session.timeout.ms': '100',
        },
      })
    : null
export const kafka = new Kafka({
  brokers: broker?.bootstrap ?? OTHER!,
  retry: { initialBackoffMs: 10, maxBackoffMs: 50 },
  metadataMaxAgeMs: 200,
})
export const admin = kafka.admin()
export const producer = kafka.producer({ lingerMs: 0 })
t.teardown(async () => {
  await kafka.close()
  await broker?.[Symbol.asyncDispose]()
})

export const FAST = { heartbeatIntervalMs: 50, fetchMaxWaitMs: 50, closeTimeoutMs: 1000 } as const
/** Longer than a busy machine holds up the heartbeats of members that are to stay. */
export const SESSION_MS = OTHER === undefined ? 1500 : 6000
let made = 0

export interface Stage {
  readonly topic: string
  readonly groupId: string
  /** `count` records, dealt out over the partitions in turn; their values are their numbers. */
  fill(count: number): Promise<void>
  join(options?: Partial<ConsumerOptions>): Promise<Consumer>
  committed(): Promise<number[]>
}

export async function setUp(t: Test, partitions: number, protocol: Protocol): Promise<Stage> {
  const topic = `topic-${process.pid}-${Date.now()}-${++made}`
  const groupId = `group of ${topic}`
  await admin.createTopics({ topics: [{ topic, partitions, replicationFactor: 1 }] })
  let filled = 0
  return {
    topic,
    groupId,
    async fill(count) {
      const messages = Array.from({ length: count }, () => ({
        partition: filled % partitions,
        value: String(filled++),
      }))
      await producer.send({ topic, messages })
    },
    async join(options = {}) {
      const consumer = kafka.consumer({ groupId, protocol, ...FAST, ...options })
      t.teardown(() => consumer.close())
      await consumer.subscribe({ topics: [topic], from: 'earliest' })
      return consumer
    },
    async committed() {
      const all = Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
      return (await admin.fetchOffsets({ groupId, partitions: all })).map(({ offset }) => offset)
    },
  }
}

export function reader(consumer: Consumer, concurrency = 1): { seen: number[]; done: Promise<void> } {
  const seen: number[] = []
  const done = consumer.run({ concurrency, eachMessage: ({ value }) => void seen.push(Number(value)) })
  return { seen, done }
}

export const numbers = (count: number, from = 0): number[] =>
  Array.from({ length: count }, (_, index) => from + index)
export const sorted = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b)
export const owned = (consumer: Consumer): string =>
  consumer.assignment
    .map(({ partition }) => partition)
    .sort()
    .join(' ')

/** A promise that the test keeps when it likes. */
export function gate(): { readonly passed: Promise<void>; open(): void } {
  let open!: () => void
  const passed = new Promise<void>(resolve => {
    open = resolve
  })
  return { passed, open }
}
