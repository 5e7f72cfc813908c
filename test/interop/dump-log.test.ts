/**
 * kafka-dump-log reads our segments, indexes and snapshots and finds nothing amiss: while the broker runs, after it was
 * killed and started again, and after a clean stop. Where the tool is missing golden files stand in, which it has read:
 * the storage still writes them byte for byte.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { Kafka } from '../../client/index.ts'
import { CODEC_NAMES } from '../../client/protocol/compression.ts'
import { type BrokerProcess, spawnBroker } from '../helpers/broker-process.ts'
import { type Dumped, dumpFolder } from './dump-log.ts'
import { GOLDEN_SEGMENTS, goldenSegments, kafkaBatches, writtenSegments } from './golden-segments.ts'
import { withoutKafkaTools } from './kafka-tools.ts'

const SEGMENT_BYTES = 1_048_576
const BATCHES = 100
const RECORDS_PER_BATCH = 10

/** Batches of about 40 KB that do not get smaller: a topic of them has four segments. */
async function fill(
  broker: BrokerProcess,
  topics: readonly [string, (typeof CODEC_NAMES)[number]][],
): Promise<void> {
  await using kafka = new Kafka({ brokers: broker.bootstrap })
  for (const [topic, compression] of topics) {
    await using producer = kafka.producer({ compression, idempotent: true, lingerMs: 0 })
    for (let batch = 0; batch < BATCHES; batch++) {
      const messages = Array.from({ length: RECORDS_PER_BATCH }, (_, index) => ({
        key: Buffer.from(`${batch}-${index}`),
        value: randomBytes(4000),
        headers: { batch: String(batch) },
      }))
      await producer.send({ topic, messages })
    }
  }
}

async function suffixesOf(folder: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const name of await readdir(folder)) {
    const suffix = /^\d{20}(\.\w+)$/.exec(name)?.[1]
    if (suffix !== undefined) counts[suffix] = (counts[suffix] ?? 0) + 1
  }
  return counts
}

t.setTimeout(110_000)

t.test('kafka-dump-log finds no mismatch', { skip: withoutKafkaTools }, async t => {
  await using broker = await spawnBroker({
    properties: { 'log.segment.bytes': SEGMENT_BYTES, 'log.index.interval.bytes': 1000 },
  })
  const topics = CODEC_NAMES.map((codec): [string, typeof codec] => [`dump-${codec}`, codec])
  const partitions = topics.map(([topic]) => `${topic}-0`)
  const isWhole = (dumped: Dumped, rounds: number): void => {
    t.same(dumped.complaints, [])
    for (const partition of partitions) {
      t.equal(dumped.records.get(partition), rounds * BATCHES * RECORDS_PER_BATCH, partition)
    }
  }

  await fill(broker, topics)
  await t.test('of a broker that runs', async () => isWhole(await dumpFolder(broker.dataFolder, 'dump-'), 1))

  await broker.restart()
  await fill(broker, topics)
  await t.test('of one that was killed and started again', async () =>
    isWhole(await dumpFolder(broker.dataFolder, 'dump-'), 2),
  )

  await broker.kill()
  await t.test('of one that was killed', async () => isWhole(await dumpFolder(broker.dataFolder, 'dump-'), 2))

  await broker.restart()
  t.equal(await broker.stop(), 0)
  await t.test('of one that was stopped', async t => {
    const dumped = await dumpFolder(broker.dataFolder, 'dump-')
    isWhole(dumped, 2)
    t.ok(dumped.producers >= 2 * partitions.length, 'each producer is in a snapshot')
    for (const partition of partitions) {
      const suffixes = await suffixesOf(join(broker.dataFolder, partition))
      t.ok(suffixes['.log']! >= 4, 'several segments')
      t.equal(suffixes['.index'], suffixes['.log'], 'each with its index')
      t.equal(suffixes['.timeindex'], suffixes['.log'], 'and time index')
    }
  })
})

t.test('kafka-dump-log reads segments in recycled files', { skip: withoutKafkaTools }, async t => {
  await using broker = await spawnBroker({
    properties: {
      'log.segment.bytes': SEGMENT_BYTES,
      'log.retention.bytes': SEGMENT_BYTES,
      'log.retention.check.interval.ms': 50,
      'log.segment.delete.delay.ms': 50,
    },
  })
  await fill(broker, [
    ['recycled', 'none'],
    ['recycled', 'lz4'],
  ])
  const folder = join(broker.dataFolder, 'recycled-0')
  const names = await readdir(folder)
  t.notOk(names.includes('00000000000000000000.log'), 'the first segments are gone')
  const live = await dumpFolder(broker.dataFolder, 'recycled-')
  // What is left of the older segment lies behind a mark that is no batch, as in any file that is longer than
  // it is full.
  const active = /^Found \d+ invalid bytes at the end of /
  t.same(
    live.complaints.filter(line => !active.test(line)),
    [],
  )
  t.ok(live.complaints.length <= 1)
  t.ok(live.records.get('recycled-0')! > 0)
  await broker.restart()
  t.same((await dumpFolder(broker.dataFolder, 'recycled-')).complaints, [], 'after a kill')
  t.equal(await broker.stop(), 0)
  t.same((await dumpFolder(broker.dataFolder, 'recycled-')).complaints, [], 'after a clean stop')
  for (const name of (await readdir(folder)).filter(name => name.endsWith('.log'))) {
    t.ok((await stat(join(folder, name))).size <= SEGMENT_BYTES, 'no rest of an older segment')
  }
})

t.test('our storage writes the golden segments byte for byte', async t => {
  const written = await writtenSegments()
  if (process.env['SLUICE_WRITE_GOLDEN'] !== undefined) {
    const folder = join(GOLDEN_SEGMENTS, 'golden-0')
    await rm(folder, { recursive: true, force: true })
    await mkdir(folder, { recursive: true })
    for (const [name, content] of written) await writeFile(join(folder, name), content)
  }
  const golden = await goldenSegments()
  t.same([...written.keys()], [...golden.keys()])
  for (const [name, content] of golden) t.ok(written.get(name)?.equals(content), `${name} is the same`)
})

t.test('kafka-dump-log finds no mismatch in the golden segments', { skip: withoutKafkaTools }, async t => {
  const dumped = await dumpFolder(GOLDEN_SEGMENTS, 'golden-')
  t.same(dumped.complaints, [])
  t.equal(dumped.batches.get('golden-0'), (await kafkaBatches()).length)
  t.equal(dumped.records.get('golden-0'), 1500)
})
