/**
 * One client doing one task, in a process of its own: a process per client keeps their garbage and their threads
 * apart. Each is used as its documentation shows for throughput. Started by perf/clients.ts.
 */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { Kafka } from '../client/index.ts'
import type { ClientOutcome, ClientTask } from './client-protocol.ts'
import { makeValues } from './workload/payload.ts'

const BATCH_BYTES = 256 << 10
const LINGER_MS = 5

/** Counts what is acknowledged in the measured time. */
class Window {
  readonly endAt: number
  private readonly beginAt: number
  private cpu: NodeJS.CpuUsage | null = null
  records = 0

  constructor(task: ClientTask) {
    this.beginAt = performance.now() + task.warmupMs
    this.endAt = this.beginAt + task.durationMs
  }

  get open(): boolean {
    return performance.now() < this.endAt
  }

  acknowledged(count: number): void {
    const now = performance.now()
    if (now < this.beginAt || now > this.endAt) return
    this.cpu ??= process.cpuUsage()
    this.records += count
  }

  outcome(): ClientOutcome {
    const cpu = process.cpuUsage(this.cpu ?? undefined)
    const durationMs = this.endAt - this.beginAt
    return {
      records: this.records,
      durationMs,
      cpu: (cpu.user + cpu.system) / 1000 / durationMs,
      error: null,
    }
  }
}

// ------------------------------------------------------------------------------------------- sluice

async function sluiceProduce(task: ClientTask): Promise<ClientOutcome> {
  const window = new Window(task)
  const values = makeValues(task.recordBytes, 0.5)
  await using kafka = new Kafka({ brokers: task.brokers })
  const producer = kafka.producer({
    acks: 'all',
    idempotent: true,
    batchBytes: BATCH_BYTES,
    lingerMs: LINGER_MS,
    onDelivery: report => {
      if (report.error === null) window.acknowledged(report.count)
    },
  })
  for (let index = 0; window.open; index += 1) {
    const room = producer.enqueue(task.topic, { value: values[index % values.length]! })
    if (room !== undefined) await room
    // A producer that is never full still has to let its answers in.
    else if (index % 4096 === 0) await new Promise(resolve => setImmediate(resolve))
  }
  await producer.flush()
  return window.outcome()
}

async function sluiceConsume(task: ClientTask): Promise<ClientOutcome> {
  await using kafka = new Kafka({ brokers: task.brokers })
  const consumer = kafka.consumer()
  const startedAt = performance.now()
  const cpuAtStart = process.cpuUsage()
  await consumer.assign(
    Array.from({ length: task.partitions }, (_, partition) => ({
      topic: task.topic,
      partition,
      offset: 'earliest' as const,
    })),
  )
  let records = 0
  let bytes = 0
  for await (const batch of consumer.batches()) {
    for (const message of batch) {
      records += 1
      bytes += message.value?.length ?? 0
    }
    if (records >= task.records) break
  }
  return consumed(records, bytes, startedAt, cpuAtStart, task)
}

function consumed(
  records: number,
  bytes: number,
  startedAt: number,
  cpuAtStart: NodeJS.CpuUsage,
  task: ClientTask,
): ClientOutcome {
  const durationMs = performance.now() - startedAt
  const cpu = process.cpuUsage(cpuAtStart)
  const right = bytes === records * task.recordBytes
  const error = right
    ? null
    : `${records} records had ${bytes} bytes of values, not ${records * task.recordBytes}.`
  return { records, durationMs, cpu: (cpu.user + cpu.system) / 1000 / durationMs, error }
}

// ---------------------------------------------------------------- kafkajs, and what has its interface

interface ForeignProducer {
  connect(): Promise<void>
  send(batch: { topic: string; acks?: number; messages: readonly { value: Buffer }[] }): Promise<unknown>
  disconnect(): Promise<void>
}

interface ForeignConsumer {
  connect(): Promise<void>
  subscribe(options: { topics: string[]; fromBeginning?: boolean }): Promise<void>
  run(options: { eachBatch(payload: ForeignBatch): Promise<void> }): Promise<void>
  disconnect(): Promise<void>
}

interface ForeignBatch {
  readonly batch: { readonly messages: readonly { readonly value: Buffer | null }[] }
}

interface ForeignKafka {
  producer(options: object): ForeignProducer
  consumer(options: object): ForeignConsumer
}

function loadForeign(task: ClientTask): ForeignKafka {
  const require = createRequire(task.modules === null ? import.meta.url : join(task.modules, 'index.js'))
  const brokers = task.brokers.split(',')
  if (task.client === 'kafkajs') {
    const { Kafka: KafkaJs, logLevel } = require('kafkajs') as {
      Kafka: new (options: object) => ForeignKafka
      logLevel: { NOTHING: number }
    }
    return new KafkaJs({ brokers, logLevel: logLevel.NOTHING })
  }
  const { KafkaJS } = require('@confluentinc/kafka-javascript') as {
    KafkaJS: { Kafka: new (options: object) => ForeignKafka }
  }
  return new KafkaJS.Kafka({ kafkaJS: { brokers, logLevel: 0 } })
}

function producerOptions(task: ClientTask): object {
  // kafkajs loses its sequence numbers with more than one idempotent request under way (its issue 598).
  if (task.client === 'kafkajs') return { idempotent: true, maxInFlightRequests: 1 }
  return { kafkaJS: { idempotent: true, acks: -1 }, 'linger.ms': LINGER_MS, 'batch.size': BATCH_BYTES }
}

async function foreignProduce(task: ClientTask): Promise<ClientOutcome> {
  const producer = loadForeign(task).producer(producerOptions(task))
  await producer.connect()
  const window = new Window(task)
  const values = makeValues(task.recordBytes, 0.5)
  const perSend = Math.floor((BATCH_BYTES / (task.recordBytes + 16)) * task.partitions)
  const messages = Array.from({ length: perSend }, (_, index) => ({ value: values[index % values.length]! }))
  // Two calls of send by turns, so that the next batch is being made while one is under way.
  const sending = async (): Promise<void> => {
    while (window.open) {
      await producer.send({ topic: task.topic, ...(task.client === 'kafkajs' ? { acks: -1 } : {}), messages })
      window.acknowledged(perSend)
    }
  }
  await Promise.all(task.client === 'kafkajs' ? [sending()] : [sending(), sending(), sending(), sending()])
  const outcome = window.outcome()
  await producer.disconnect()
  return outcome
}

async function foreignConsume(task: ClientTask): Promise<ClientOutcome> {
  const groupId = `bench-${Date.now().toString(36)}`
  const options = task.client === 'kafkajs' ? { groupId } : { kafkaJS: { groupId, fromBeginning: true } }
  const consumer = loadForeign(task).consumer(options)
  await consumer.connect()
  await consumer.subscribe({
    topics: [task.topic],
    ...(task.client === 'kafkajs' ? { fromBeginning: true } : {}),
  })
  let records = 0
  let bytes = 0
  let startedAt = 0
  let cpuAtStart = process.cpuUsage()
  const all = new Promise<ClientOutcome>((resolve, reject) => {
    const running = consumer.run({
      eachBatch: ({ batch }) => {
        // Joining the group is not what is measured: the clock starts with the first batch.
        if (records === 0) {
          startedAt = performance.now()
          cpuAtStart = process.cpuUsage()
        }
        records += batch.messages.length
        for (const message of batch.messages) bytes += message.value?.length ?? 0
        if (records >= task.records) resolve(consumed(records, bytes, startedAt, cpuAtStart, task))
        return Promise.resolve()
      },
    })
    running.catch(reject)
  })
  const outcome = await all
  await consumer.disconnect()
  return outcome
}

async function main(): Promise<void> {
  const task = JSON.parse(process.argv[2] ?? '{}') as ClientTask
  const ours = task.client === 'sluice'
  const work =
    task.kind === 'produce' ? (ours ? sluiceProduce : foreignProduce) : ours ? sluiceConsume : foreignConsume
  let outcome: ClientOutcome
  try {
    outcome = await work(task)
  } catch (error) {
    outcome = {
      records: 0,
      durationMs: 0,
      cpu: 0,
      error: error instanceof Error ? error.message : String(error),
    }
  }
  process.send?.(outcome, () => process.exit(0))
}

await main()
