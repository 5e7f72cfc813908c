/**
 * Our broker on a folder that Apache Kafka wrote: every record is there, producers go on where they were, and what is
 * appended makes a folder that Kafka's tool reads and Kafka itself starts on.
 */
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Kafka } from '../../client/index.ts'
import { API } from '../../client/protocol/apis.ts'
import { readBatchHeader } from '../../client/protocol/batch.ts'
import { CODEC_NAMES } from '../../client/protocol/compression.ts'
import { spawnBroker } from '../helpers/broker-process.ts'
import { run, withoutKcat } from '../helpers/foreign.ts'
import { dumpFolder } from './dump-log.ts'
import { GOLDEN, kafkaBatches } from './golden-segments.ts'
import { spawnKafka, withoutKafkaTools } from './kafka-tools.ts'
import { Peer } from './peer.ts'

const PER_CODEC = 300

function expected(): { key: string; value: string }[] {
  return CODEC_NAMES.flatMap(codec =>
    Array.from({ length: PER_CODEC }, (_, index) => ({
      key: `${codec}-key-`,
      value: `${index + 1}-value-with-some-text`,
    })),
  )
}

async function records(bootstrap: string, count: number): Promise<{ key: string; value: string }[]> {
  await using kafka = new Kafka({ brokers: bootstrap })
  await using consumer = kafka.consumer()
  await consumer.assign([{ topic: 'golden', partition: 0, offset: 'earliest' }])
  const found: { key: string; value: string }[] = []
  for await (const { key, value } of consumer.messages()) {
    found.push({ key: String(key), value: String(value) })
    if (found.length === count) break
  }
  return found
}

t.setTimeout(110_000)

t.test('our broker takes over a folder of Apache Kafka', async t => {
  const home = await mkdtemp(join(tmpdir(), 'sluice-folder-'))
  t.teardown(() => rm(home, { recursive: true, force: true }))
  const dataFolder = join(home, 'data')
  await cp(join(GOLDEN, 'kafka-4.1-data'), dataFolder, { recursive: true })
  await using broker = await spawnBroker({ dataFolder, properties: { 'node.id': 1 } })

  await t.test('all records are there', async t => {
    t.same(await records(broker.bootstrap, 5 * PER_CODEC), expected())
  })

  await t.test('kcat reads them', { skip: withoutKcat }, async t => {
    const read = await run('kcat', [
      ...['-b', broker.bootstrap, '-C', '-t', 'golden', '-o', 'beginning', '-e', '-q'],
      ...['-f', '%k|%s\\n'],
    ])
    const lines = expected().map(({ key, value }) => `${key}|${value}\n`)
    t.equal(read.stdout.toString(), lines.join(''))
  })

  await t.test('producers go on where they were', async t => {
    await using peer = await Peer.connect(broker.bootstrap)
    const batches = await kafkaBatches()
    const last = batches.at(-1)!
    const { baseOffset } = readBatchHeader(last, 0)
    const send = async (batch: Buffer) => {
      batch.writeBigInt64BE(0n, 0)
      const answer = await peer.ask(API.Produce, 9, {
        acks: -1,
        timeoutMs: 5000,
        topicData: [{ name: 'golden', partitionData: [{ index: 0, records: batch }] }],
      })
      if (typeof answer === 'string') throw new Error(answer)
      const { errorCode, baseOffset } = answer.responses[0]!.partitionResponses[0]!
      return { errorCode, baseOffset }
    }
    t.same(await send(last), { errorCode: 0, baseOffset }, 'the last batch again is a duplicate')
    const first = batches[0]!
    t.match(await send(first), { errorCode: 45 }, 'one from long ago is out of order')
  })

  await t.test('what is appended lies behind them', async t => {
    await using kafka = new Kafka({ brokers: broker.bootstrap })
    for (const compression of CODEC_NAMES) {
      await using producer = kafka.producer({ compression })
      const messages = Array.from({ length: 20 }, (_, index) => ({ key: compression, value: `new ${index}` }))
      await producer.send({ topic: 'golden', messages })
    }
    const all = await records(broker.bootstrap, 5 * PER_CODEC + 100)
    t.same(all.slice(0, 5 * PER_CODEC), expected())
    t.same(all.at(-1), { key: 'zstd', value: 'new 19' })
    t.equal(await broker.stop(), 0)
  })

  await t.test("Kafka's tool finds no mismatch in it", { skip: withoutKafkaTools }, async t => {
    const dumped = await dumpFolder(dataFolder, 'golden-')
    t.same(dumped.complaints, [])
    t.equal(dumped.records.get('golden-0'), 5 * PER_CODEC + 100)
  })
})

t.test('Apache Kafka starts on a partition of ours', { skip: withoutKafkaTools }, async t => {
  await using broker = await spawnBroker({ properties: { 'node.id': 1 } })
  await using kafka = new Kafka({ brokers: broker.bootstrap })
  await using admin = kafka.admin()
  await admin.createTopics({ topics: [{ topic: 'golden', partitions: 1 }] })
  {
    await using producer = kafka.producer({ compression: 'gzip' })
    const messages = expected().slice(0, 500)
    for (let first = 0; first < 500; first += 50) {
      await producer.send({ topic: 'golden', messages: messages.slice(first, first + 50) })
    }
  }
  // Killed: Kafka finds segments without indexes, as it does after a crash of its own.
  await broker.kill()
  const partition = join(broker.dataFolder, 'golden-0')
  t.ok((await readdir(partition)).some(name => name.endsWith('.log')))

  await using theirs = await spawnKafka({ properties: { 'log.segment.bytes': 1_048_576 } })
  await using kafkaClient = new Kafka({ brokers: theirs.bootstrap })
  await using theirAdmin = kafkaClient.admin()
  await theirAdmin.createTopics({ topics: [{ topic: 'golden', partitions: 1 }] })
  await theirs.stop()
  // The partition belongs to the topic that this cluster knows, by the id in its folder.
  const folder = join(theirs.dataFolder, 'golden-0')
  const identity = await readFile(join(folder, 'partition.metadata'))
  await rm(folder, { recursive: true })
  await cp(partition, folder, { recursive: true })
  await writeFile(join(folder, 'partition.metadata'), identity)
  await theirs.start()
  t.same(await records(theirs.bootstrap, 500), expected().slice(0, 500))
})
