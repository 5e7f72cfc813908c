/**
 * A group of many members: how soon it is stable, and what those who read notice of others who come and go. Records
 * are written at a steady rate meanwhile, so that a partition that nobody reads shows as a pause and not as an absence
 * of work. Light members read nothing: then only the membership is measured.
 */

import { performance } from 'node:perf_hooks'
import type { Kafka } from '../../../client/index.ts'
import { WorkloadError } from '../errors.ts'
import { sleep } from '../pacing.ts'
import { Recorder } from '../recorder.ts'
import { Sender } from '../sender.ts'
import type {
  GroupFigures,
  GroupOptions,
  WorkloadContext,
  WorkloadOptions,
  WorkloadResult,
} from '../types.ts'
import { type GroupMember, LightGroup, LightMember, type MemberHost, Reader } from './members.ts'
import { GroupObserver } from './observer.ts'

/** How long a group may take to become stable. */
const PATIENCE_MS = 120_000
/** How long what is still under way at the end is waited for. */
const DRAIN_MS = 10_000
const LOOK_EVERY_MS = 10
/** Beyond the longest that a coordinator waits for the first members of a group. */
const FORGET_ATTEMPTS = 70
const FORGET_PAUSE_MS = 100

export interface FirstStable {
  readonly ms: number
  readonly cpuMs: number
}

/** The members of one run, as they come and go. */
export class Crowd {
  private readonly make: (id: number) => GroupMember
  private readonly observer: GroupObserver
  private readonly present: { readonly id: number; readonly member: GroupMember }[] = []
  private readonly leaving = new Set<Promise<void>>()
  private made = 0

  constructor(observer: GroupObserver, make: (id: number) => GroupMember) {
    this.observer = observer
    this.make = make
  }

  get members(): readonly GroupMember[] {
    return this.present.map(({ member }) => member)
  }

  async add(): Promise<void> {
    const id = this.made
    this.made += 1
    const member = this.make(id)
    this.present.push({ id, member })
    this.observer.started(id, performance.now())
    await member.start()
  }

  /** Who has been there longest leaves; nobody waits for it. */
  removeOldest(): void {
    const oldest = this.present.shift()
    if (oldest !== undefined) this.remove(oldest)
  }

  private remove({ id, member }: (typeof this.present)[number]): void {
    this.observer.leaving(id, performance.now())
    const gone = member.close().then(() => {
      this.observer.left(id, performance.now())
      this.leaving.delete(gone)
    })
    this.leaving.add(gone)
  }

  /** All leave. */
  async close(): Promise<void> {
    for (const each of this.present.splice(0)) this.remove(each)
    await Promise.all(this.leaving)
  }
}

/** Starts all members at once. Null where the group did not become stable, or was interrupted. */
export async function gather(
  crowd: Crowd,
  observer: GroupObserver,
  members: number,
  signal: AbortSignal,
): Promise<FirstStable | null> {
  const startedMs = performance.now()
  const cpu = process.cpuUsage()
  await Promise.all(Array.from({ length: members }, () => crowd.add()))
  await waitFor(() => observer.isStable, PATIENCE_MS, signal, observer.stable())
  if (!observer.isStable) return null
  const { user, system } = process.cpuUsage(cpu)
  return { ms: performance.now() - startedMs, cpuMs: (user + system) / 1000 }
}

/** Looks now and then; `sooner` may tell at once. */
async function waitFor(
  isSo: () => boolean,
  patienceMs: number,
  signal: AbortSignal,
  sooner: Promise<void> | null = null,
): Promise<void> {
  const untilMs = performance.now() + patienceMs
  while (!isSo() && performance.now() < untilMs && !signal.aborted) {
    if (sooner === null) await sleep(LOOK_EVERY_MS)
    else await Promise.race([sooner, sleep(LOOK_EVERY_MS)])
  }
}

export function groupOf(workload: WorkloadOptions): GroupOptions {
  if (workload.group === undefined) throw new Error('The workload names no group.')
  return workload.group
}

/** Offsets of all partitions, stored, so that a member that gets one knows where to go on. */
async function storeStarts(kafka: Kafka, workload: WorkloadOptions): Promise<number[]> {
  const { topic, partitions } = workload
  const admin = kafka.admin()
  const stored = await admin.setOffsets({
    groupId: groupOf(workload).groupId,
    offsets: Array.from({ length: partitions }, (_, partition) => ({
      topic,
      partition,
      offset: 'latest' as const,
    })),
  })
  return stored.map(({ offset }) => offset)
}

/** Rejects when the group never became stable. */
export async function groupWorkload(
  connect: () => Kafka,
  brokers: string,
  workload: WorkloadOptions,
  context: WorkloadContext,
): Promise<WorkloadResult> {
  const group = groupOf(workload)
  const kafka = connect()
  const starts = group.light
    ? Array.from({ length: workload.partitions }, () => 0)
    : await storeStarts(kafka, workload)
  const observer = new GroupObserver(starts)
  let joining = true
  const recorder = new Recorder({
    kind: 'group',
    workload,
    brokers,
    onSnapshot: snapshot => context.onSnapshot({ ...snapshot, ...describe(observer, joining) }),
  })
  const errors: Error[] = []
  const host: MemberHost = { topic: workload.topic, observer, onError: error => errors.push(error) }
  const light = group.light ? new LightGroup(brokers, group) : null
  const crowd = new Crowd(observer, id =>
    light === null ? new Reader(kafka, group, recorder, id, host) : new LightMember(light, id, host),
  )
  let figures: GroupFigures
  try {
    if (group.light && group.churn === 0) recorder.begin()
    const firstStable = await gather(crowd, observer, group.members, context.signal)
    joining = false
    if (firstStable === null) throw errors[0] ?? neverStable(observer, group)
    const sender = light === null ? await makeSender(connect(), workload, recorder) : null
    if (group.churn > 0 || sender !== null)
      await measure(crowd, observer, recorder, sender, workload, context)
    recorder.end()
    figures = observer.figures(firstStable)
    await sender?.close()
    if (sender?.firstError != null) errors.push(sender.firstError)
  } finally {
    await crowd.close()
    light?.close()
    await forget(kafka, group.groupId)
  }
  recorder.error(errors.length)
  const notes = errors.length === 0 ? [] : [`The first failure: ${errors[0]!.message}`]
  const latencyOf = group.light ? null : 'from the time a record was due to the moment a member had it'
  return { ...recorder.result(latencyOf, notes), group: figures }
}

async function makeSender(kafka: Kafka, workload: WorkloadOptions, recorder: Recorder): Promise<Sender> {
  const options = { kafka, workload, recorder, counts: false, stampValues: true, perPartition: 1 }
  const sender = new Sender(options, 0)
  await sender.connect()
  return sender
}

/** Records flow, members come and go; ends when what was sent has been read and the group has settled. */
async function measure(
  crowd: Crowd,
  observer: GroupObserver,
  recorder: Recorder,
  sender: Sender | null,
  workload: WorkloadOptions,
  context: WorkloadContext,
): Promise<void> {
  const { signal } = context
  let sending = true
  const sent = sender?.run(workload.rate, () => sending && !signal.aborted && sender.failed === 0)
  await waitFor(() => false, workload.warmupMs, signal)
  observer.begin()
  recorder.begin()
  await churn(crowd, observer, groupOf(workload).churn, workload.durationMs, signal)
  await waitFor(() => observer.isStable, DRAIN_MS, signal)
  sending = false
  await sent
  if (sender !== null) await waitFor(() => observer.readRecords >= sender.sent, DRAIN_MS, signal)
}

/** One leaves, then another comes, and so on, evenly over the time. */
async function churn(
  crowd: Crowd,
  observer: GroupObserver,
  perSecond: number,
  durationMs: number,
  signal: AbortSignal,
): Promise<void> {
  const startedMs = performance.now()
  const changes = Math.floor((durationMs / 1000) * perSecond)
  for (let change = 0; change < changes && !signal.aborted; change += 1) {
    const atMs = startedMs + (change / perSecond) * 1000
    await waitFor(() => performance.now() >= atMs, durationMs, signal)
    if (change % 2 === 0) crowd.removeOldest()
    else {
      const coming = crowd.add()
      observer.came(performance.now())
      await coming
    }
  }
  await waitFor(() => performance.now() >= startedMs + durationMs, durationMs, signal)
}

function describe(observer: GroupObserver, joining: boolean) {
  const { ownedPartitions, partitions, liveMembers, movedPartitions } = observer
  const owned = `${liveMembers} members have ${ownedPartitions} of ${partitions} partitions`
  return {
    ...(joining ? { phase: 'joining' as const } : {}),
    note: `${owned}${joining ? '' : `, ${movedPartitions} moved`}`,
  }
}

export function neverStable(observer: GroupObserver, group: GroupOptions): WorkloadError {
  const { ownedPartitions, partitions, liveMembers } = observer
  return new WorkloadError(
    `The group ${group.groupId} did not become stable within ${PATIENCE_MS / 1000} s: ${liveMembers} members have ` +
      `${ownedPartitions} of ${partitions} partitions. Look at the log of the broker, and at the limits of ` +
      'connections and group size on both sides.',
  )
}

/** The group, which nobody else knows. */
export async function forget(kafka: Kafka, groupId: string): Promise<void> {
  for (let attempt = 1; attempt <= FORGET_ATTEMPTS; attempt += 1) {
    try {
      await kafka.admin().deleteGroups({ groups: [groupId] })
      return
    } catch (error) {
      // It may never have come into being; brokers let go of empty groups by themselves after some time.
      if ((error as { code?: unknown }).code !== 'NON_EMPTY_GROUP') return
      // Who left in the middle of joining is still on its way.
      await sleep(FORGET_PAUSE_MS)
    }
  }
}
