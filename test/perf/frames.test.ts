import fc from 'fast-check'
import t from 'tap'
import { readBatchHeader, validateBatch } from '../../client/protocol/batch.ts'
import { FetchRequest } from '../../client/protocol/messages/fetch.ts'
import { ProduceRequest } from '../../client/protocol/messages/produce.ts'
import { Reader } from '../../client/protocol/reader.ts'
import { decodeRecords } from '../../client/protocol/record.ts'
import { fetchRequests, makeBatch, produceRequests, recordsPerBatch } from '../../perf/frames.ts'

const common = {
  id: 1,
  port: 0,
  broker: true,
  topic: 'bench',
  connections: 1,
  partitions: 1,
  firstPartition: 0,
  inFlight: 2,
  batchBytes: 16_384,
  recordBytes: 1024,
  warmupMs: 0,
  durationMs: 0,
  limitBytes: null,
}
/** Size prefix, key, version, correlation id, client id, tags. */
const HEADER_BYTES = 4 + 2 + 2 + 4 + 2 + 'sluice-bench'.length + 1

t.test('a batch is exactly as long as asked for, and sound', t => {
  fc.assert(
    fc.property(
      fc.integer({ min: 400, max: 70_000 }),
      fc.integer({ min: 1, max: 2000 }),
      (batchBytes, recordBytes) => {
        const batch = makeBatch(batchBytes, recordBytes)
        t.equal(batch.length, batchBytes)
        t.equal(validateBatch(batch, 0, batch.length, 'producer'), null)
        const records = decodeRecords(batch)
        t.equal(records.length, recordsPerBatch(batchBytes, recordBytes))
        t.equal(readBatchHeader(batch, 0).recordCount, records.length)
      },
    ),
    { numRuns: 60 },
  )
  t.end()
})

t.test('a Produce request reads as what it is meant to say', t => {
  const source = produceRequests({ ...common, kind: 'produce', acks: -1 }, 3)
  const frame = Buffer.concat(source.next())
  t.equal(frame.readInt32BE(0), frame.length - 4)
  const request = ProduceRequest.at(9).decode(new Reader(frame, HEADER_BYTES))
  const batch = makeBatch(common.batchBytes, common.recordBytes)
  t.match(request, { acks: -1, topicData: [{ name: 'bench', partitionData: [{ index: 3 }] }] })
  t.equal(Buffer.from(request.topicData[0]!.partitionData[0]!.records as Uint8Array).length, batch.length)
  t.not(
    frame.readInt32BE(8),
    Buffer.concat(source.next()).readInt32BE(8),
    'the next has another correlation id',
  )
  t.end()
})

t.test('Fetch requests go through the range and begin again', t => {
  const perRead = recordsPerBatch(common.batchBytes, common.recordBytes) * 2
  const job = {
    ...common,
    kind: 'fetch' as const,
    readBytes: 2 * common.batchBytes,
    fromOffset: 10,
    toOffset: 10 + 2 * perRead,
  }
  const source = fetchRequests(job, 0)
  const offsets = Array.from({ length: 3 }, () => {
    const frame = Buffer.concat(source.next())
    const request = FetchRequest.at(12).decode(new Reader(frame, HEADER_BYTES))
    t.match(request, { topics: [{ topic: 'bench', partitions: [{ partitionMaxBytes: job.readBytes }] }] })
    return request.topics[0]!.partitions[0]!.fetchOffset
  })
  t.same(offsets, [10, 10 + perRead, 10])
  t.end()
})
