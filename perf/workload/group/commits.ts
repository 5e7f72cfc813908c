/**
 * How many offsets a coordinator stores in a second: members of one group, each with its share of the partitions,
 * commit all of them over and over, the next request when the last one was answered. An offset counts when the answer
 * has come, by which the broker vouches for it; at the end all of them are read back.
 */

import { performance } from 'node:perf_hooks'
import type { Kafka } from '../../../client/index.ts'
import { WorkloadError } from '../errors.ts'
import { Recorder } from '../recorder.ts'
import type { WorkloadContext, WorkloadOptions, WorkloadResult } from '../types.ts'
import { Crowd, forget, gather, groupOf, neverStable } from './group.ts'
import { LightGroup, LightMember } from './members.ts'
import { GroupObserver } from './observer.ts'

/** Rejects when the group never became stable, and when an offset that was answered for is not there. */
export async function commitsWorkload(
  connect: () => Kafka,
  brokers: string,
  workload: WorkloadOptions,
  context: WorkloadContext,
): Promise<WorkloadResult> {
  const group = groupOf(workload)
  const kafka = connect()
  const observer = new GroupObserver(Array.from({ length: workload.partitions }, () => 0))
  const recorder = new Recorder({ kind: 'commits', workload, brokers, onSnapshot: context.onSnapshot })
  const light = new LightGroup(brokers, group)
  const errors: Error[] = []
  const onError = (error: Error): void => {
    errors.push(error)
  }
  const crowd = new Crowd(
    observer,
    id => new LightMember(light, id, { topic: workload.topic, observer, onError }),
  )
  /** The highest offset by partition that was answered for. */
  const stored = new Map<number, number>()
  try {
    const firstStable = await gather(crowd, observer, group.members, context.signal)
    if (firstStable === null) throw errors[0] ?? neverStable(observer, group)
    const endMs = performance.now() + workload.warmupMs + workload.durationMs
    const begin = setTimeout(() => recorder.begin(), workload.warmupMs)
    const end = setTimeout(() => recorder.end(), workload.warmupMs + workload.durationMs)
    const more = (): boolean =>
      performance.now() < endMs && !context.signal.aborted && errors.length === 0 && !full(workload, recorder)
    await Promise.all(
      crowd.members.map(member => commitAll(member as LightMember, recorder, stored, more).catch(onError)),
    )
    clearTimeout(begin)
    clearTimeout(end)
    recorder.end()
    recorder.error(errors.length)
    if (errors[0] !== undefined && recorder.measuredRecords === 0) throw errors[0]
    const figures = observer.figures(firstStable)
    const notes = [await readBack(kafka, workload, stored)]
    if (errors[0] !== undefined) notes.push(`The first failure: ${errors[0].message}`)
    const result = recorder.result('from sending a commit to its answer', notes)
    return { ...result, group: figures }
  } finally {
    await crowd.close()
    light.close()
    await forget(kafka, group.groupId)
  }
}

function full(workload: WorkloadOptions, recorder: Recorder): boolean {
  return workload.count !== null && recorder.measuring && recorder.measuredRecords >= workload.count
}

async function commitAll(
  member: LightMember,
  recorder: Recorder,
  stored: Map<number, number>,
  more: () => boolean,
): Promise<void> {
  for (let offset = 1; more(); offset += 1) {
    const sentMs = performance.now()
    const asked = member.owned.size
    const taken = await member.commit(offset)
    for (const partition of taken) stored.set(partition, offset)
    recorder.latency(performance.now() - sentMs, 1)
    recorder.add(taken.length, 0)
    if (taken.length < asked) recorder.error(asked - taken.length)
    // A member that has nothing has nothing to do.
    if (asked === 0) return
  }
}

async function readBack(
  kafka: Kafka,
  workload: WorkloadOptions,
  stored: ReadonlyMap<number, number>,
): Promise<string> {
  const found = await kafka.admin().fetchOffsets({ groupId: groupOf(workload).groupId })
  const offsets = new Map(found.map(({ partition, offset }) => [partition, offset]))
  const missing = [...stored].filter(([partition, offset]) => (offsets.get(partition) ?? -1) < offset)
  if (missing.length > 0)
    throw new WorkloadError(
      `${missing.length} offsets that the broker had answered for were not there at the end.`,
    )
  return `All ${stored.size} partitions had the offset that was answered for last, or a later one.`
}
