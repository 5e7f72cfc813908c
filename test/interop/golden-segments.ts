/**
 * The files that our storage makes of fixed input: the batches of the folder that Apache Kafka wrote (every codec, five
 * idempotent producers), each with another leader epoch and other offsets, in segments of a few index entries each.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { API } from '../../client/protocol/apis.ts'
import { forEachBatch } from '../../client/protocol/batch.ts'
import { TestBroker, unfold } from '../broker/api/test-broker.ts'

export const GOLDEN = fileURLToPath(new URL('../golden/', import.meta.url))
export const GOLDEN_SEGMENTS = join(GOLDEN, 'sluice-segments')

export async function kafkaBatches(): Promise<Buffer[]> {
  const log = await readFile(join(GOLDEN, 'kafka-4.1-data/golden-0/00000000000000000000.log'))
  const batches: Buffer[] = []
  forEachBatch(log, (position, byteLength) =>
    batches.push(Buffer.from(log.subarray(position, position + byteLength))),
  )
  return batches
}

/** Name to content, of one partition after a clean stop. */
export async function writtenSegments(): Promise<Map<string, Buffer>> {
  const test = await TestBroker.start()
  await test.createTopic('golden', 1, {
    'index.interval.bytes': '100',
    'segment.index.bytes': '120',
    'retention.ms': '-1',
    'message.timestamp.after.max.ms': String(Number.MAX_SAFE_INTEGER),
  })
  for (const batch of await kafkaBatches()) {
    batch.writeBigInt64BE(0n, 0)
    const { responses } = await test.client.request(API.Produce, 9, {
      acks: -1,
      timeoutMs: 1000,
      topicData: [{ name: 'golden', partitionData: [{ index: 0, records: batch }] }],
    })
    const outcome = responses[0]!.partitionResponses[0]!
    if (outcome.errorCode !== 0) throw new Error(`a batch was refused: ${outcome.errorMessage}`)
  }
  await test.stop()
  const files = new Map<string, Buffer>()
  const { disk } = test.env
  for (const { name } of await unfold(test.env, disk.list('/data/golden-0'))) {
    // The topic's id is drawn by chance.
    if (name !== 'partition.metadata')
      files.set(name, await unfold(test.env, disk.readFile(`/data/golden-0/${name}`)))
  }
  return files
}

export async function goldenSegments(): Promise<Map<string, Buffer>> {
  const folder = join(GOLDEN_SEGMENTS, 'golden-0')
  const files = new Map<string, Buffer>()
  for (const name of (await readdir(folder)).sort()) files.set(name, await readFile(join(folder, name)))
  return files
}
