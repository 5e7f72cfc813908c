/**
 * How long a record takes from a producer to a consumer at the tail. Both are in this process, so one clock times
 * both ends; each value carries the time at which it was due.
 */
import { performance } from 'node:perf_hooks'
import type { Consumer, Kafka } from '../../client/index.ts'
import { sleep } from './pacing.ts'
import { Recorder } from './recorder.ts'
import { Sender } from './sender.ts'
import type { WorkloadContext, WorkloadOptions, WorkloadResult } from './types.ts'

/** How long what is still under way at the end is waited for. */
const DRAIN_MS = 5000

export async function endToEndWorkload(
  connect: () => Kafka,
  brokers: string,
  workload: WorkloadOptions,
  context: WorkloadContext,
): Promise<WorkloadResult> {
  const recorder = new Recorder({ kind: 'e2e', workload, brokers, onSnapshot: context.onSnapshot })
  const kafka = connect()
  const { topic, partitions } = workload
  const offsets = await kafka.admin().fetchTopicOffsets(topic)
  const consumer = kafka.consumer({ fetchMaxWaitMs: 100 })
  await consumer.assign(
    offsets
      .filter(each => each.partition < partitions)
      .map(each => ({ topic, partition: each.partition, offset: each.latest })),
  )
  const stop = new AbortController()
  const received = { count: 0 }
  const reading = receive(consumer, recorder, received, stop.signal)
  const senders = Array.from(
    { length: workload.producers },
    (_, index) =>
      new Sender({ kafka: connect(), workload, recorder, counts: false, stampValues: true }, index),
  )
  await Promise.all(senders.map(sender => sender.connect()))
  const endAt = performance.now() + workload.warmupMs + workload.durationMs
  const begin = setTimeout(() => recorder.begin(), workload.warmupMs)
  const more = (): boolean => {
    if (context.signal.aborted || performance.now() >= endAt || senders.every(sender => sender.failed > 0))
      return false
    return workload.count === null || !recorder.measuring || recorder.measuredRecords < workload.count
  }
  const rate = workload.rate === null ? null : workload.rate / senders.length
  await Promise.all(senders.map(sender => sender.run(rate, more)))
  clearTimeout(begin)
  if (rate === null) recorder.end()
  const sent = senders.reduce((sum, sender) => sum + sender.sent - sender.failed, 0)
  const drainUntil = performance.now() + DRAIN_MS
  while (received.count < sent && performance.now() < drainUntil && !context.signal.aborted) await sleep(10)
  // At a fixed rate a record that was held up may not fall out of the count.
  recorder.end()
  stop.abort()
  await reading
  await consumer.close()
  await Promise.all(senders.map(sender => sender.close()))
  const notes =
    received.count < sent
      ? [`${sent - received.count} records had not come back ${DRAIN_MS} ms after the end.`]
      : []
  const firstError = senders.find(sender => sender.firstError !== null)?.firstError ?? null
  if (firstError !== null && recorder.measuredRecords === 0) throw firstError
  if (firstError !== null) notes.push(`The first delivery that failed: ${firstError.message}`)
  return recorder.result('from the time a record was due to its arrival at the consumer', notes)
}

async function receive(
  consumer: Consumer,
  recorder: Recorder,
  received: { count: number },
  signal: AbortSignal,
): Promise<void> {
  try {
    for await (const batch of consumer.batches({ signal })) {
      const now = performance.now()
      for (const message of batch) {
        const value = message.valueBytes
        if (value === null) continue
        received.count += 1
        recorder.latency(now - value.readDoubleBE(0), 1)
        recorder.add(1, value.length)
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
}
