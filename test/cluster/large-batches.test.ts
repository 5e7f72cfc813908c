/** Batches larger than an answer to a follower commonly is: they get there whole, one at a time, and do not stay. */
import t from 'tap'
import { startCluster } from '../../broker/testing.ts'
import { Kafka } from '../../client/index.ts'

const MIB = 1024 * 1024

t.test('batches of 20 MiB are replicated, and outlive their leader', { timeout: 60_000 }, async t => {
  await using cluster = await startCluster({
    topics: { blobs: { partitions: 1, configs: { 'max.message.bytes': String(24 * MIB) } } },
    configs: { 'message.max.bytes': String(24 * MIB), 'socket.request.max.bytes': String(64 * MIB) },
  })
  await using kafka = new Kafka({ brokers: cluster.bootstrap })
  const producer = kafka.producer({ maxRequestBytes: 24 * MIB, batchBytes: 24 * MIB })
  const blobs = Array.from({ length: 4 }, (_, index) => Buffer.alloc(20 * MIB, `blob ${index} `))
  for (const value of blobs) await producer.send({ topic: 'blobs', messages: [{ value }] })
  await producer.send({ topic: 'blobs', messages: [{ value: 'small' }] })
  await cluster.waitForSync('blobs', { timeoutMs: 20_000 })
  const leader = cluster.leaderOf('blobs')!
  await cluster.kill(leader)
  await cluster.waitForLeader('blobs', 0, { not: leader, timeoutMs: 20_000 })
  await using consumer = kafka.consumer()
  await consumer.assign([{ topic: 'blobs', partition: 0, offset: 'earliest' }])
  const seen: Buffer[] = []
  for await (const { valueBytes } of consumer.messages({ signal: AbortSignal.timeout(30_000) })) {
    seen.push(Buffer.from(valueBytes!))
    if (seen.length === blobs.length + 1) break
  }
  t.ok(blobs.every((blob, index) => blob.equals(seen[index]!)))
  t.equal(seen.at(-1)!.toString(), 'small')
})
