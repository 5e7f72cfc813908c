/** How fast a broker takes records, and how long it takes to acknowledge them. */
import { performance } from 'node:perf_hooks'
import type { Kafka } from '../../client/index.ts'
import { Recorder } from './recorder.ts'
import { Sender } from './sender.ts'
import type { WorkloadContext, WorkloadOptions, WorkloadResult } from './types.ts'

/** `connect` makes one client per producer. Rejects when nothing could be delivered. */
export async function produceWorkload(
  connect: () => Kafka,
  brokers: string,
  workload: WorkloadOptions,
  context: WorkloadContext,
): Promise<WorkloadResult> {
  const recorder = new Recorder({ kind: 'produce', workload, brokers, onSnapshot: context.onSnapshot })
  const senders = Array.from(
    { length: workload.producers },
    (_, index) =>
      new Sender({ kafka: connect(), workload, recorder, counts: true, stampValues: false }, index),
  )
  await Promise.all(senders.map(sender => sender.connect()))
  const endAt = performance.now() + workload.warmupMs + workload.durationMs
  const sentSoFar = (): number => senders.reduce((sum, sender) => sum + sender.sent, 0)
  let sentBefore = 0
  const begin = setTimeout(() => {
    recorder.begin()
    sentBefore = sentSoFar()
  }, workload.warmupMs)
  const more = (): boolean => {
    if (context.signal.aborted || senders.every(sender => sender.failed > 0)) return false
    if (performance.now() >= endAt) return false
    return workload.count === null || !recorder.measuring || sentSoFar() - sentBefore < workload.count
  }
  const rate = workload.rate === null ? null : workload.rate / senders.length
  // At a fixed rate, and where the number of records is given, the last acknowledgement is the end: a record that was
  // held up may not fall out of the count. As fast as it goes, what is under way at the end is left out.
  const timer = rate === null ? setTimeout(() => recorder.end(), endAt - performance.now()) : undefined
  await Promise.all(senders.map(sender => sender.run(rate, more)))
  clearTimeout(timer)
  clearTimeout(begin)
  recorder.end()
  await Promise.all(senders.map(sender => sender.close()))
  const firstError = senders.find(sender => sender.firstError !== null)?.firstError ?? null
  if (firstError !== null && recorder.measuredRecords === 0) throw firstError
  const notes = firstError === null ? [] : [`The first delivery that failed: ${firstError.message}`]
  const latencyOf =
    workload.rate === null
      ? 'from handing a record to the client to its acknowledgement; the client sends as fast as it can, so this is mostly waiting in line'
      : 'from the time a record was due to its acknowledgement'
  return recorder.result(latencyOf, notes)
}
