/**
 * The broker's cleaner over its partitions: which log comes first, what it remembers, and how it ends.
 */
import t from 'tap'
import { type LogConfig } from '../../../broker/log/config.ts'
import { readOffsetCheckpoint } from '../../../broker/storage/checkpoints.ts'
import { errorName } from '../../../client/protocol/errors.ts'
import { encodeBatch } from '../../../client/protocol/record.ts'
import { type TopicId } from '../../../client/protocol/types.ts'
import {
  assignment,
  crashDisk,
  DATA,
  files,
  host,
  type Life,
  produceOutcome,
  readAll,
  start,
  startLeader,
  TOPIC_ID,
} from './harness.ts'

const CONFIG: Partial<LogConfig> = { cleanupPolicy: ['compact'], segmentBytes: 400, indexIntervalBytes: 100 }
const OTHER_ID = 'b'.repeat(32) as TopicId

/** Records of about 100 bytes with these keys, one batch each. */
async function write(life: Life, keys: string, partition = 0, topicId = TOPIC_ID): Promise<void> {
  for (const key of keys) {
    const batch = encodeBatch([{ key, value: key.repeat(30), timestamp: life.env.clock.wallMs() }])
    const error = await new Promise<number>(resolve =>
      host(life, partition, topicId).produce(batch, null, -1, 1000, outcome => resolve(outcome.error)),
    )
    if (error !== 0) throw new Error(errorName(error as 0))
  }
}

/** Deletes `a` at offset 2, with others before and after. */
async function writeTombstone(life: Life): Promise<void> {
  const tombstone = encodeBatch([{ key: 'a', value: null, timestamp: 1 }])
  await write(life, 'ab')
  await new Promise(resolve => host(life).produce(tombstone, null, -1, 1000, resolve))
  await write(life, 'cdef')
}

const hasTombstone = async (life: Life): Promise<boolean> =>
  (await readAll(host(life))).includes('2:undefined')

const compacted = (life: Life): string[] =>
  life.env.log
    .of('info')
    .flatMap(line => (/^compacted/.test(line.message) ? [String(line.fields?.['partition'])] : []))

async function checkpoint(life: Life): Promise<Record<string, number>> {
  const path = `${DATA}/cleaner-offset-checkpoint`
  return Object.fromEntries(await readOffsetCheckpoint(life.env.disk, path, life.env.log))
}

t.test('the dirtiest log comes first, then the others, and no log twice', async t => {
  const assignments = [0, 1, 2].map(partition => assignment({ partition, logConfig: CONFIG }))
  const life = await start({ assignments })
  await write(life, 'abcdefabcdef', 1)
  await life.manager.compact()
  await write(life, 'abcdabcdabcdabcdabcdabcdabcdabcd', 1)
  await write(life, 'abababab', 2)
  await life.manager.compact()
  t.same(compacted(life), ['orders-1', 'orders-2', 'orders-1'])
  await life.manager.compact()
  t.equal(compacted(life).length, 3)
  await life.stop()
})

t.test('it looks by itself, every log.cleaner.backoff.ms', async t => {
  const life = await start({ assignments: [assignment({ logConfig: CONFIG })], cleaner: { backoffMs: 1000 } })
  await write(life, 'aaaaaaaa')
  await life.env.clock.advance(999)
  t.same(compacted(life), [])
  await life.env.clock.advance(20)
  t.same(compacted(life), ['orders-0'])
  await write(life, 'aaaaaaaaaaaaaaaa')
  // While it is at work it makes pauses, because somebody has just written. Was it still looking when that came, it
  // compacts a first part of it at once.
  for (let ms = 0; ms < 1100; ms += 10) await life.env.clock.advance(10)
  t.ok(compacted(life).length >= 2)
  await life.stop()
})

t.test('log.cleaner.enable=false and cleanup.policy=delete leave logs as they are', async t => {
  for (const [cleanupPolicy, enabled] of [
    [['compact'], false],
    [['delete'], true],
  ] as const) {
    const logConfig = { ...CONFIG, cleanupPolicy }
    const life = await start({
      assignments: [assignment({ logConfig })],
      cleaner: { enabled, backoffMs: 10 },
    })
    await write(life, 'aaaaaaaa')
    await life.env.clock.advance(1000)
    t.equal((await readAll(host(life))).length, 8)
    await life.stop()
  }
})

t.test('how far a log was compacted outlives the broker, and not the topic', async t => {
  const disk = crashDisk()
  const assignments = [assignment({ logConfig: CONFIG })]
  const first = await start({ disk, assignments })
  await write(first, 'abcabcabcabcabc')
  await first.manager.compact()
  const { cleanedTo } = host(first).compaction
  t.ok(cleanedTo > 0)
  t.same(await checkpoint(first), { 'orders 0': cleanedTo })
  disk.crash({ keep: 'none' })
  const second = await start({ disk, assignments })
  t.equal(host(second).compaction.cleanedTo, cleanedTo)
  await second.manager.compact()
  t.same(compacted(second), [], 'it is clean still')
  await second.manager.delete(TOPIC_ID, 0)
  t.same(await checkpoint(second), {})
  await second.manager.create(assignment({ topicId: OTHER_ID, logConfig: CONFIG }))
  t.equal(host(second, 0, OTHER_ID).compaction.cleanedTo, 0)
  await second.stop()
})

t.test(
  'a topic that is deleted in the middle of its compaction leaves nothing in the folder of the next one',
  async t => {
    const life = await start({ assignments: [assignment({ logConfig: CONFIG })] })
    await write(life, 'abcabcabcabcabc')
    const goOn = life.env.disk.hold('sync', /cleaned$/)
    const compacting = life.manager.compact()
    for (let i = 0; i < 50; i++) await life.env.clock.settle()
    t.ok(host(life).compaction.isRunning)
    const deleting = life.manager.delete(TOPIC_ID, 0)
    const creating = life.manager.create(assignment({ topicId: OTHER_ID, logConfig: CONFIG }))
    goOn()
    await Promise.all([compacting, deleting, creating])
    t.same(await files(life, `${DATA}/orders-0`, /cleaned|swap/), [])
    await write(life, 'abc', 0, OTHER_ID)
    t.equal((await readAll(host(life, 0, OTHER_ID))).length, 3)
    t.same(life.env.log.of('warn'), [])
    await life.stop()
  },
)

t.test('a stop does not wait for a compaction to end', async t => {
  const disk = crashDisk()
  const assignments = [assignment({ logConfig: CONFIG })]
  const life = await start({ disk, assignments, cleaner: { maxBytesPerSecond: 10 } })
  await write(life, 'abcabcabcabcabc')
  const compacting = life.manager.compact()
  await life.env.clock.advance(50)
  t.ok(host(life).compaction.isRunning)
  const stopping = life.stop()
  await life.env.clock.advance(200)
  await Promise.all([stopping, compacting])
  const again = await start({ disk, assignments })
  t.ok(again.folder.cleanShutdown)
  t.equal((await readAll(host(again))).length, 15)
  await again.stop()
})

t.test('compaction keeps to its bandwidth', async t => {
  const assignments = [assignment({ logConfig: CONFIG })]
  const life = await start({ assignments, cleaner: { maxBytesPerSecond: 1000 } })
  await write(life, 'abcabcabcabcabc')
  const started = life.env.clock.monotonicMs()
  let isOver = false
  const compacting = life.manager.compact().then(() => {
    isOver = true
  })
  while (!isOver) await life.env.clock.advance(10)
  await compacting
  const seconds = (life.env.clock.monotonicMs() - started) / 1000
  // Everything sealed is read twice, and about a quarter of it is written.
  t.ok(seconds > 2 && seconds < 5, `${seconds} s`)
  await life.stop()
})

t.test('retention waits for a compaction, and compacted logs expire where the policy has both', async t => {
  const logConfig = { ...CONFIG, cleanupPolicy: ['compact', 'delete'] as const, retentionMs: 1000 }
  const life = await start({ assignments: [assignment({ logConfig })] })
  await write(life, 'abcabcabcabcabc')
  const goOn = life.env.disk.hold('sync', /cleaned$/)
  const compacting = life.manager.compact()
  for (let i = 0; i < 50; i++) await life.env.clock.settle()
  life.env.clock.jumpWall(2000)
  t.equal(await host(life).applyRetention(), 0)
  goOn()
  await compacting
  t.equal((await readAll(host(life))).length, 6)
  t.equal(await host(life).applyRetention(), 4)
  t.same(await readAll(host(life)), [])
  t.equal(host(life).describe().logStartOffset, 15)
  await life.stop()
})

t.test('a damaged log is told once and left alone until the next start', async t => {
  const disk = crashDisk()
  const assignments = [assignment({ logConfig: CONFIG })]
  const life = await start({ disk, assignments })
  await write(life, 'abcabcabcabcabc')
  disk.damage(`${DATA}/orders-0/00000000000000000004.log`, 70)
  await life.manager.compact()
  await life.manager.compact()
  t.equal(life.env.log.of('error').length, 1)
  t.match(life.env.log.of('error')[0]?.message, /damaged and is not compacted any more/)
  t.equal(host(life).describe().segments, 4)
})

t.test('a full disk is waited out', async t => {
  const disk = crashDisk()
  const config = { highWatermarkCheckpointMs: 1e9 }
  const cleaner = { backoffMs: 5000 }
  const life = await start({ disk, assignments: [assignment({ logConfig: CONFIG })], config, cleaner })
  const pass = async (ms: number): Promise<void> => {
    for (let i = 0; i < 100; i++) await life.env.clock.advance(ms / 100)
  }
  await write(life, 'abcabcabcabcabc')
  disk.capacityBytes = disk.usedBytes
  await pass(6000)
  t.match(life.env.log.of('warn')[0]?.message, /tried again later/)
  disk.capacityBytes = Infinity
  await pass(50_000)
  t.same(compacted(life), [])
  await pass(20_000)
  t.same(compacted(life), ['orders-0'])
  t.equal(life.env.log.of('warn').length, 1)
  await life.stop()
})

t.test('an idle log loses its tombstones when their time is over', async t => {
  const logConfig = { ...CONFIG, deleteRetentionMs: 60_000 }
  const life = await start({ assignments: [assignment({ logConfig })] })
  await writeTombstone(life)
  await life.manager.compact()
  t.match(await readAll(host(life)), [/^1:b/, '2:undefined', /^3:c/])
  await life.env.clock.advance(59_000)
  t.match((await readAll(host(life)))[1], '2:undefined')
  await life.env.clock.advance(20_000)
  t.match(await readAll(host(life)), [/^1:b/, /^3:c/])
  await life.stop()
})

t.test('no tombstone goes while a replica may lack it', async t => {
  let isWhole = false
  const life = await startLeader({
    cluster: { isWhole: () => isWhole },
    logConfig: { ...CONFIG, deleteRetentionMs: 0 },
  })
  await writeTombstone(life)
  await life.manager.compact()
  await life.env.clock.advance(100_000)
  t.ok(await hasTombstone(life), 'one that is away has the record still, and would keep it')
  isWhole = true
  await life.env.clock.advance(20_000)
  t.notOk(await hasTombstone(life), 'all have it')
  await life.stop()
})

t.test('a tombstone stays for as long as a replica in sync may be behind', async t => {
  const life = await startLeader({ logConfig: { ...CONFIG, deleteRetentionMs: 10_000 } })
  await writeTombstone(life)
  await life.manager.compact()
  await life.env.clock.advance(39_000)
  t.ok(await hasTombstone(life))
  await life.env.clock.advance(20_000)
  t.notOk(await hasTombstone(life))
  await life.stop()
})

t.test('a record without a key is refused, by name', async t => {
  const life = await start({ assignments: [assignment({ logConfig: CONFIG })] })
  const outcome = await produceOutcome(host(life), ['a', 'b'])
  t.equal(errorName(outcome.error), 'INVALID_RECORD')
  t.match(outcome.errorMessage, /2 of 2 records have no key/)
  t.match(outcome.recordErrors, [{ batchIndex: 0 }, { batchIndex: 1 }])
  t.equal(host(life).describe().logEndOffset, 0)
  await life.stop()
})
