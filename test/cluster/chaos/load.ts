/**
 * Clients under which a cluster is broken: writers, one for each partition, by our own client and by kafkajs; readers.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Kafka as KafkaJs, logLevel, Partitioners } from 'kafkajs'
import { Kafka } from '../../../client/index.ts'
import { type History } from './history.ts'

export const OWN_TOPIC = 'chaos'
export const KAFKAJS_TOPIC = 'chaos-kafkajs'
export const PARTITIONS: Readonly<Record<string, number>> = { [OWN_TOPIC]: 6, [KAFKAJS_TOPIC]: 2 }

const IN_FLIGHT = 4
const PAUSE_MS = 5
const DELIVERY_TIMEOUT_MS = 120_000

export class Load {
  readonly #history: History
  readonly #bootstrap: readonly string[]
  readonly #own: Kafka
  readonly #reading = new AbortController()
  #isStopped = false
  #writers: Promise<void>[] = []
  #readers: Promise<void>[] = []

  constructor(history: History, bootstrap: readonly string[]) {
    this.#history = history
    this.#bootstrap = bootstrap
    const patience = {
      requestTimeoutMs: 5000,
      connectionTimeoutMs: 2000,
      operationTimeoutMs: DELIVERY_TIMEOUT_MS,
    }
    this.#own = new Kafka({ brokers: [...bootstrap], clientId: 'chaos', ...patience })
  }

  async start(): Promise<void> {
    const admin = this.#own.admin()
    const topics = Object.entries(PARTITIONS).map(([topic, partitions]) => ({ topic, partitions }))
    await admin.createTopics({ topics })
    for (let partition = 0; partition < PARTITIONS[OWN_TOPIC]!; partition++) {
      this.#writers.push(this.#write(partition))
    }
    for (let partition = 0; partition < PARTITIONS[KAFKAJS_TOPIC]!; partition++) {
      this.#writers.push(this.#writeByKafkaJs(partition))
    }
    this.#readers = Object.keys(PARTITIONS).map(topic => this.#read(topic))
  }

  /** Writers finish what is under way; then readers end. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#writers)
    this.#reading.abort()
    await Promise.all(this.#readers)
  }

  /** The number at each offset, read anew from the beginning. */
  async finalLog(topic: string): Promise<Map<number, number>[]> {
    const count = PARTITIONS[topic]!
    const logs = Array.from({ length: count }, () => new Map<number, number>())
    const ends = await this.#own.admin().fetchTopicOffsets(topic)
    let missing = ends.reduce((sum, { latest }) => sum + latest, 0)
    if (missing === 0) return logs
    await using consumer = this.#own.consumer()
    await consumer.assign(logs.map((_, partition) => ({ topic, partition, offset: 'earliest' as const })))
    for await (const message of consumer.messages({ signal: AbortSignal.timeout(DELIVERY_TIMEOUT_MS) })) {
      logs[message.partition]!.set(Number(message.offset), numberIn(message.valueBytes))
      if (--missing === 0) break
    }
    return logs
  }

  close(): Promise<void> {
    return this.#own.close()
  }

  async #write(partition: number): Promise<void> {
    const history = this.#history.partition(OWN_TOPIC, partition)
    const producer = this.#own.producer({ deliveryTimeoutMs: DELIVERY_TIMEOUT_MS })
    const underWay = new Set<Promise<void>>()
    for (let next = 0; !this.#isStopped; ) {
      const first = next
      const messages = Array.from({ length: 1 + (first % 3) }, () => ({
        partition,
        value: `${next++}:${'x'.repeat((first * 37) % 900)}`,
      }))
      const sent: Promise<void> = producer
        .send({ topic: OWN_TOPIC, messages })
        .then(([range]) => {
          const base = Number(range!.baseOffset)
          for (const index of messages.keys()) this.#history.acked(history, base + index, first + index)
        })
        .catch(() => {
          history.failed += messages.length
        })
        .finally(() => underWay.delete(sent))
      underWay.add(sent)
      if (underWay.size >= IN_FLIGHT) await Promise.race(underWay)
      else await sleep(PAUSE_MS)
    }
    await Promise.all(underWay)
    await producer.close()
  }

  async #writeByKafkaJs(partition: number): Promise<void> {
    const history = this.#history.partition(KAFKAJS_TOPIC, partition)
    const kafka = new KafkaJs({
      brokers: [...this.#bootstrap],
      clientId: 'chaos-kafkajs',
      logLevel: logLevel.NOTHING,
      requestTimeout: 5000,
      connectionTimeout: 2000,
      retry: { initialRetryTime: 50, maxRetryTime: 500, retries: 1000 },
    })
    const producer = kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      createPartitioner: Partitioners.DefaultPartitioner,
    })
    await producer.connect()
    for (let next = 0; !this.#isStopped; next++) {
      try {
        const [sent] = await producer.send({
          topic: KAFKAJS_TOPIC,
          acks: -1,
          messages: [{ partition, value: `${next}:` }],
        })
        this.#history.acked(history, Number(sent!.baseOffset), next)
      } catch {
        history.failed += 1
      }
      await sleep(PAUSE_MS)
    }
    await producer.disconnect()
  }

  async #read(topic: string): Promise<void> {
    const consumer = this.#own.consumer()
    const partitions = Array.from({ length: PARTITIONS[topic]! }, (_, partition) => partition)
    await consumer.assign(partitions.map(partition => ({ topic, partition, offset: 'earliest' as const })))
    try {
      for await (const message of consumer.messages({ signal: this.#reading.signal })) {
        const history = this.#history.partition(topic, message.partition)
        this.#history.wasRead(history, Number(message.offset), numberIn(message.valueBytes))
      }
    } catch (error) {
      if (!this.#reading.signal.aborted) throw error
    }
    await consumer.close()
  }
}

function numberIn(value: Uint8Array | null): number {
  return value === null ? -1 : Number.parseInt(Buffer.from(value).toString('latin1'), 10)
}
