/** `node dist/perf/micro/codec.js`: CRC-32C, compression, and the messages of the hot path. */
import { CODEC_AVAILABILITY, CODEC_NAMES, compress, decompress } from '../../client/protocol/compression.ts'
import { crc32c } from '../../client/protocol/crc32c.ts'
import { FetchRequest, FetchResponse } from '../../client/protocol/messages/fetch.ts'
import { ProduceRequest, ProduceResponse } from '../../client/protocol/messages/produce.ts'
import { Reader } from '../../client/protocol/reader.ts'
import { Writer } from '../../client/protocol/writer.ts'
import { makeValues } from '../workload/payload.ts'
import { bench } from './harness.ts'

const SIZES = [16 << 10, 256 << 10]
const PRODUCE_VERSION = 9
const FETCH_VERSION = 12
const PARTITIONS = 16

function name(bytes: number): string {
  return `${bytes >> 10} KiB`
}

for (const bytes of SIZES) {
  const [noise] = makeValues(bytes, 0)
  bench(`crc32c ${name(bytes)}`, () => void crc32c(noise!), { bytes })
}

for (const bytes of SIZES) {
  const [text] = makeValues(bytes, 0.5)
  for (const codec of CODEC_NAMES) {
    if (codec === 'none' || !CODEC_AVAILABILITY[codec].available) continue
    const packed = compress(codec, text!)
    const by = CODEC_AVAILABILITY[codec].by ?? ''
    bench(`${codec} compress ${name(bytes)} (${by})`, () => void compress(codec, text!), { bytes })
    bench(`${codec} decompress ${name(bytes)}`, () => void decompress(codec, packed, bytes), { bytes })
  }
}

const batch = Buffer.alloc(16 << 10)
const partitions = Array.from({ length: PARTITIONS }, (_, index) => index)
const produceRequest = {
  acks: -1,
  timeoutMs: 30_000,
  topicData: [{ name: 'orders', partitionData: [{ index: 0, records: batch }] }],
}
const produceResponse = {
  responses: [
    { name: 'orders', partitionResponses: [{ index: 0, errorCode: 0, baseOffset: 1234, logStartOffset: 0 }] },
  ],
  throttleTimeMs: 0,
}
const fetchRequest = {
  maxWaitMs: 500,
  minBytes: 1,
  maxBytes: 50 << 20,
  sessionId: 0,
  sessionEpoch: -1,
  topics: [
    {
      topic: 'orders',
      partitions: partitions.map(partition => ({ partition, fetchOffset: 1234, partitionMaxBytes: 1 << 20 })),
    },
  ],
  forgottenTopicsData: [],
  rackId: '',
}
const fetchResponse = {
  errorCode: 0,
  sessionId: 0,
  responses: [
    {
      topic: 'orders',
      partitions: partitions.map(partitionIndex => ({
        partitionIndex,
        errorCode: 0,
        highWatermark: 1234,
        lastStableOffset: 1234,
        logStartOffset: 0,
        abortedTransactions: null,
        records: batch,
      })),
    },
  ],
}

interface Codec<T> {
  encode(writer: Writer, value: T): void
  decode(reader: Reader): unknown
}

function benchMessage<T>(title: string, codec: Codec<T>, value: T): void {
  const writer = new Writer()
  codec.encode(writer, value)
  const encoded = writer.concat()
  bench(`${title} encode`, () => codec.encode(new Writer(), value), { items: 1 })
  bench(`${title} decode`, () => void codec.decode(new Reader(encoded)), { items: 1 })
}

benchMessage('Produce request, 1 partition', ProduceRequest.at(PRODUCE_VERSION), produceRequest)
benchMessage('Produce response, 1 partition', ProduceResponse.at(PRODUCE_VERSION), produceResponse)
benchMessage(`Fetch request, ${PARTITIONS} partitions`, FetchRequest.at(FETCH_VERSION), fetchRequest)
benchMessage(`Fetch response, ${PARTITIONS} partitions`, FetchResponse.at(FETCH_VERSION), fetchResponse)
