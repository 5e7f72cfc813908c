import t from 'tap'
import { startBroker } from '../../../../broker/testing.ts'
import { Kafka } from '../../../../client/index.ts'
import { workloadHtml, workloadMarkdown } from '../../../../perf/report/workload.ts'
import { commitsWorkload } from '../../../../perf/workload/group/commits.ts'
import { groupWorkload } from '../../../../perf/workload/group/group.ts'
import type {
  GroupOptions,
  Snapshot,
  WorkloadContext,
  WorkloadOptions,
} from '../../../../perf/workload/types.ts'

t.setTimeout(110_000)

const broker = await startBroker({
  topics: { bench: 8 },
  configs: {
    'group.consumer.heartbeat.interval.ms': '100',
    'group.consumer.min.heartbeat.interval.ms': '50',
  },
})
const kafka = new Kafka({ brokers: broker.bootstrap, retry: { initialBackoffMs: 10, maxBackoffMs: 50 } })
t.teardown(async () => {
  await kafka.close()
  await broker[Symbol.asyncDispose]()
})

function workload(group: Partial<GroupOptions>, more: Partial<WorkloadOptions> = {}): WorkloadOptions {
  return {
    topic: 'bench',
    partitions: 8,
    recordBytes: 64,
    batchBytes: 10_000,
    lingerMs: 0,
    acks: 'all',
    compression: 'none',
    compressible: 0,
    producers: 1,
    rate: 400,
    durationMs: 1000,
    count: null,
    warmupMs: 100,
    ...more,
    group: {
      groupId: 'bench-group',
      members: 4,
      protocol: 'classic',
      assignor: 'cooperative-sticky',
      light: false,
      churn: 0,
      heartbeatIntervalMs: 50,
      sessionTimeoutMs: 10_000,
      ...group,
    },
  }
}

function context(snapshots: Snapshot[] = []): WorkloadContext {
  return { signal: new AbortController().signal, onSnapshot: snapshot => snapshots.push(snapshot) }
}

for (const [protocol, assignor] of [
  ['classic', 'cooperative-sticky'],
  ['consumer', null],
] as const) {
  t.test(`${protocol}: members that come and go in good order cost and repeat no record`, async t => {
    const snapshots: Snapshot[] = []
    const options = workload({ protocol, assignor, churn: 4 })
    const result = await groupWorkload(() => kafka, broker.bootstrap, options, context(snapshots))
    const { group } = result
    t.match(result, { kind: 'group', errors: 0 })
    t.match(group, { changes: 4, reread: 0, skipped: 0, overlaps: 0 })
    t.ok(group!.firstStableMs! > 0)
    t.ok(group!.moved > 0, 'at least what a leaver had')
    t.ok(result.records >= 300, 'reading went on')
    t.ok(group!.pauses.stayed!.count > 0)
    t.ok(
      snapshots.some(({ note }) => /4 members have 8 of 8 partitions/.test(note ?? '')),
      'it was told on the way',
    )
    t.match(workloadMarkdown(result), /## Pauses, ms[\s\S]*a partition that moved/)
    t.match(await workloadHtml(result), 'a partition that stayed')
    t.same(await kafka.admin().listGroups(), [], 'the group is gone')
  })
}

for (const protocol of ['classic', 'consumer'] as const) {
  t.test(`${protocol}: light members become stable, and nothing flows`, async t => {
    const options = workload({ protocol, assignor: null, light: true, members: 8 })
    const result = await groupWorkload(() => kafka, broker.bootstrap, options, context())
    t.match(result, { records: 0, errors: 0, latency: null, group: { changes: 0 } })
    t.ok(result.group!.firstStableMs! > 0)
    t.notMatch(await workloadHtml(result), 'id="throughput"')
  })

  t.test(`${protocol}: offsets that are answered for are counted, and there at the end`, async t => {
    const options = workload({ protocol, assignor: null, light: true }, { count: 400 })
    const result = await commitsWorkload(() => kafka, broker.bootstrap, options, context())
    t.match(result, { kind: 'commits', errors: 0, notes: [/All 8 partitions/] })
    t.ok(result.records >= 400)
    t.equal(result.records, result.latency!.count * 2, 'two partitions in each commit')
    t.match(workloadMarkdown(result), /\| offsets\/s \|/)
    t.match(await workloadHtml(result), 'Offsets per second')
  })
}

t.test('light members come and go as well', async t => {
  const options = workload({ light: true, churn: 4 })
  const result = await groupWorkload(() => kafka, broker.bootstrap, options, context())
  t.match(result, { records: 0, errors: 0, group: { changes: 4, overlaps: 0 } })
  t.ok(result.group!.moved > 0)
})
