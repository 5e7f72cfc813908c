/** How fast a broker gives records out, read from the beginning of a topic as often as the time allows. */

import type { Kafka } from '../../client/index.ts'
import { WorkloadError } from './errors.ts'
import { Recorder } from './recorder.ts'
import { Sender } from './sender.ts'
import type { WorkloadContext, WorkloadOptions, WorkloadResult } from './types.ts'

/** Fills the topic with `bytes` of values. */
export async function fillTopic(
  connect: () => Kafka,
  brokers: string,
  workload: WorkloadOptions,
  bytes: number,
  context: WorkloadContext,
): Promise<void> {
  const recorder = new Recorder({
    kind: 'produce',
    workload,
    brokers,
    onSnapshot: snapshot => context.onSnapshot({ ...snapshot, phase: 'filling' }),
  })
  const sender = new Sender({ kafka: connect(), workload, recorder, counts: true, stampValues: false }, 0)
  const records = Math.ceil(bytes / workload.recordBytes)
  await sender.run(null, () => sender.sent < records && !context.signal.aborted && sender.failed === 0)
  recorder.begin()
  recorder.end()
  await sender.close()
  if (sender.firstError !== null) throw sender.firstError
}

/** Throws where the topic is empty. */
export async function consumeWorkload(
  connect: () => Kafka,
  brokers: string,
  workload: WorkloadOptions,
  context: WorkloadContext,
): Promise<WorkloadResult> {
  const kafka = connect()
  const { topic } = workload
  const offsets = (await kafka.admin().fetchTopicOffsets(topic)).filter(
    each => each.partition < workload.partitions,
  )
  const available = offsets.reduce((sum, each) => sum + each.latest - each.earliest, 0)
  if (available === 0)
    throw new WorkloadError(`Topic ${topic} holds no records to read: fill it first, or use --fill.`)
  const recorder = new Recorder({ kind: 'consume', workload, brokers, onSnapshot: context.onSnapshot })
  const begin = setTimeout(() => recorder.begin(), workload.warmupMs)
  const stop = new AbortController()
  const timer = setTimeout(() => stop.abort(), workload.warmupMs + workload.durationMs)
  const abort = (): void => stop.abort()
  context.signal.addEventListener('abort', abort)
  let rounds = 0
  while (!stop.signal.aborted) {
    rounds += 1
    await readOnce(kafka, workload, offsets, recorder, stop)
  }
  recorder.end()
  clearTimeout(timer)
  clearTimeout(begin)
  context.signal.removeEventListener('abort', abort)
  return recorder.result(null, rounds > 1 ? [`The topic was read from its beginning ${rounds} times.`] : [])
}

/** Reads the topic once, or until stopped. */
async function readOnce(
  kafka: Kafka,
  workload: WorkloadOptions,
  offsets: readonly { partition: number; earliest: number; latest: number }[],
  recorder: Recorder,
  stop: AbortController,
): Promise<void> {
  const { topic } = workload
  const filled = offsets.filter(each => each.latest > each.earliest)
  const left = new Set(filled.map(each => each.partition))
  await using consumer = kafka.consumer()
  await consumer.assign(filled.map(({ partition, earliest }) => ({ topic, partition, offset: earliest })))
  try {
    for await (const batch of consumer.batches({ signal: stop.signal })) {
      let records = 0
      let bytes = 0
      for (const message of batch) {
        records += 1
        bytes += message.valueBytes?.length ?? 0
      }
      recorder.add(records, bytes)
      const end = offsets.find(each => each.partition === batch.partition)?.latest ?? 0
      if (batch.lastOffset + 1 >= end) left.delete(batch.partition)
      if (workload.count !== null && recorder.measuring && recorder.measuredRecords >= workload.count)
        stop.abort()
      if (left.size === 0 || stop.signal.aborted) return
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error
  }
}
