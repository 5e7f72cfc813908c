/** Produce: what is taken, and how each thing that is wrong with a request or a batch is told. */
import { API } from '../../../client/protocol/apis.ts'
import {
  BATCH_ATTRIBUTES_AT,
  BATCH_BASE_SEQUENCE_AT,
  BATCH_CRC_AT,
  BATCH_LAST_OFFSET_DELTA_AT,
  BATCH_LENGTH_AT,
  BATCH_MAGIC_AT,
  BATCH_MAX_TIMESTAMP_AT,
  BATCH_PRODUCER_EPOCH_AT,
  BATCH_PRODUCER_ID_AT,
  BATCH_RECORD_COUNT_AT,
  stampChecksum,
} from '../../../client/protocol/batch.ts'
import { CODEC_NAMES } from '../../../client/protocol/compression.ts'
import { type TopicId, ZERO_TOPIC_ID } from '../../../client/protocol/types.ts'
import { type Scenario, type Script } from './script.ts'

const HOUR_MS = 3_600_000
const BY_ID_SINCE = 13
const UNKNOWN_ID = 'ffffffffffff4fffbfffffffffffffff' as TopicId

/** One batch to one partition, by name and (from version 13 on) by id. */
function to(topic: string, topicId: TopicId, index: number, records: Uint8Array | null, acks = -1) {
  return {
    acks,
    timeoutMs: 5000,
    topicData: [{ name: topic, topicId, partitionData: [{ index, records }] }],
  }
}

/** Waits for the record at `fetchOffset`. */
function from(topicId: TopicId, fetchOffset: number) {
  const partitions = [{ partition: 0, fetchOffset, partitionMaxBytes: 1 }]
  return { maxWaitMs: 2500, minBytes: 1, topics: [{ topicId, partitions }] }
}

/** A batch with a few bytes changed, and a checksum that matches them. */
function patched(batch: Buffer, patch: (batch: Buffer) => void): Buffer {
  patch(batch)
  stampChecksum(batch, 0)
  return batch
}

const requests: Scenario = {
  name: 'produce: requests',
  async run(script) {
    const id = await script.createTopic('produce-requests', 2)
    const topic = 'produce-requests'
    const good = () => script.batch(['one', 'two'])
    for (const version of script.versions(API.Produce, 3)) {
      const ask = (what: string, body: object) => script.ask(what, API.Produce, version, body as never)
      await ask('a good batch', to(topic, id, 0, good()))
      await ask('acks 1', to(topic, id, 0, good(), 1))
      await ask('acks 2', to(topic, id, 0, good(), 2))
      await ask('acks -2', to(topic, id, 0, good(), -2))
      await ask('an unknown topic', to('missing', UNKNOWN_ID, 0, good()))
      if (version >= BY_ID_SINCE) await ask('no topic id', to('', ZERO_TOPIC_ID, 0, good()))
      else await ask('an invalid topic name', to('no/name', UNKNOWN_ID, 0, good()))
      await ask('an unknown partition', to(topic, id, 7, good()))
      await ask('a negative partition', to(topic, id, -1, good()))
      if (version === 9) await ask('null records', to(topic, id, 0, null))
      await ask('empty records', to(topic, id, 0, Buffer.alloc(0)))
      await ask('no topics', { acks: -1, timeoutMs: 5000, topicData: [] })
      await ask('no partitions', {
        acks: -1,
        timeoutMs: 5000,
        topicData: [{ name: topic, topicId: id, partitionData: [] }],
      })
      await ask('two partitions, one unknown', {
        acks: -1,
        timeoutMs: 5000,
        topicData: [
          {
            name: topic,
            topicId: id,
            partitionData: [
              { index: 1, records: good() },
              { index: 9, records: good() },
            ],
          },
        ],
      })
    }
    await script.tell('acks 0', API.Produce, 9, to(topic, id, 0, good(), 0))
    await script.tell('acks 0 to an unknown topic', API.Produce, 9, to('missing', id, 0, good(), 0))
    // What nobody was told to be stored is seen a moment later.
    const end = 4 * script.versions(API.Produce, 3).length
    await script.quietly(API.Fetch, 13, from(id, end))
    await script.ask('all that is there', API.ListOffsets, 5, {
      replicaId: -1,
      topics: [
        {
          name: topic,
          partitions: [
            { partitionIndex: 0, timestamp: -1 },
            { partitionIndex: 1, timestamp: -1 },
          ],
        },
      ],
    })
  },
}

/** Each is one batch, with what is odd about it. */
function oddBatches(script: Script): [string, Buffer][] {
  const plain = () => script.batch(['one', 'two'])
  const odd: [string, Buffer][] = [
    ['a corrupt body', patchByte(plain(), 70)],
    ['a corrupt checksum', patchByte(plain(), BATCH_CRC_AT)],
    ['cut short', plain().subarray(0, 80)],
    ['shorter than a header', plain().subarray(0, 30)],
    ['a length beyond the bytes', lengthened(plain(), 10)],
    ['a length of zero', lengthened(plain(), -1_000_000)],
    ['two batches', Buffer.concat([plain(), plain()])],
    ['a batch and a few more bytes', Buffer.concat([plain(), Buffer.alloc(5)])],
    ['a base offset that is not zero', withBaseOffset(plain(), 17n)],
    ['a transactional batch', script.batch(['x'], { isTransactional: true })],
    ['a control batch', script.batch(['x'], { isControl: true })],
    ['an hour and more ahead', script.batch(['x'], { timestamp: script.nowMs + 2 * HOUR_MS })],
    ['years ago', script.batch(['x'], { timestamp: 1000 })],
    ['no timestamp', script.batch(['x'], { timestamp: -1 })],
    ['log append time', script.batch(['x'], { logAppendTimeMs: script.nowMs })],
  ]
  for (const magic of [0, 1, 3, -1]) {
    odd.push([`magic ${magic}`, patched(plain(), batch => batch.writeInt8(magic, BATCH_MAGIC_AT))])
  }
  for (const codec of [5, 6, 7]) {
    odd.push([`codec ${codec}`, patched(plain(), batch => batch.writeInt16BE(codec, BATCH_ATTRIBUTES_AT))])
  }
  for (const delta of [0, 2, -1]) {
    odd.push([
      `a last offset delta of ${delta} for two records`,
      patched(plain(), batch => batch.writeInt32BE(delta, BATCH_LAST_OFFSET_DELTA_AT)),
    ])
  }
  for (const count of [0, 1, 3, -1]) {
    odd.push([
      `a count of ${count} for two records`,
      patched(plain(), batch => batch.writeInt32BE(count, BATCH_RECORD_COUNT_AT)),
    ])
  }
  odd.push([
    'a largest timestamp that no record has',
    patched(plain(), batch => batch.writeBigInt64BE(BigInt(script.nowMs + 1000), BATCH_MAX_TIMESTAMP_AT)),
  ])
  odd.push([
    'a producer id and a negative epoch',
    patched(plain(), batch => {
      batch.writeBigInt64BE(5n, BATCH_PRODUCER_ID_AT)
      batch.writeInt16BE(-1, BATCH_PRODUCER_EPOCH_AT)
      batch.writeInt32BE(0, BATCH_BASE_SEQUENCE_AT)
    }),
  ])
  odd.push([
    'a producer id and no sequence',
    patched(plain(), batch => {
      batch.writeBigInt64BE(5n, BATCH_PRODUCER_ID_AT)
      batch.writeInt16BE(0, BATCH_PRODUCER_EPOCH_AT)
      batch.writeInt32BE(-1, BATCH_BASE_SEQUENCE_AT)
    }),
  ])
  odd.push([
    'a producer id of -2',
    patched(plain(), batch => batch.writeBigInt64BE(-2n, BATCH_PRODUCER_ID_AT)),
  ])
  odd.push([
    'unused attribute bits',
    patched(plain(), batch => batch.writeInt16BE(0x7f80, BATCH_ATTRIBUTES_AT)),
  ])
  odd.push(['a delete horizon', patched(plain(), batch => batch.writeInt16BE(0x40, BATCH_ATTRIBUTES_AT))])
  return odd
}

function patchByte(batch: Buffer, at: number): Buffer {
  batch[at]! ^= 0xff
  return batch
}

function lengthened(batch: Buffer, by: number): Buffer {
  batch.writeInt32BE(Math.max(0, batch.readInt32BE(BATCH_LENGTH_AT) + by), BATCH_LENGTH_AT)
  return batch
}

function withBaseOffset(batch: Buffer, offset: bigint): Buffer {
  batch.writeBigInt64BE(offset, 0)
  return batch
}

const batches: Scenario = {
  name: 'produce: batches',
  async run(script) {
    const topic = 'produce-batches'
    // A partition for each oddity, so that what one broker takes and the other does not leaves no trace in the rest.
    const id = await script.createTopic(topic, 1 + oddBatches(script).length, { 'retention.ms': '-1' })
    for (const version of script.ends(API.Produce, 3, 7, 8, 9)) {
      if (version < 3) continue
      for (const [index, [what, batch]] of oddBatches(script).entries()) {
        await script.ask(what, API.Produce, version, to(topic, id, index + 1, batch))
      }
      for (const codec of CODEC_NAMES) {
        await script.ask(codec, API.Produce, version, to(topic, id, 0, script.batch(['a', 'b'], { codec })))
      }
    }
    await script.tell('acks 0 and a corrupt batch', API.Produce, 9, {
      ...to(topic, id, 0, patchByte(script.batch(['x']), 70), 0),
    })
    await script.ask('zstd before it was known', API.Produce, 6, {
      ...to(topic, id, 0, script.batch(['x'], { codec: 'zstd' })),
    })
    await script.ask('what was taken', API.Fetch, 12, {
      maxWaitMs: 0,
      minBytes: 0,
      topics: [{ topic, partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1 << 20 }] }],
    })
  },
}

const limits: Scenario = {
  name: 'produce: configs of the topic',
  async run(script) {
    const small = await script.createTopic('produce-small', 1, { 'max.message.bytes': '200' })
    await script.ask(
      'too large',
      API.Produce,
      9,
      to('produce-small', small, 0, script.batch(['x'.repeat(200)])),
    )
    await script.ask(
      'as large',
      API.Produce,
      9,
      to('produce-small', small, 0, script.batch(['x'.repeat(120)])),
    )
    const stamped = await script.createTopic('produce-stamped', 1, {
      'message.timestamp.type': 'LogAppendTime',
    })
    await script.ask('stamped', API.Produce, 9, to('produce-stamped', stamped, 0, script.batch(['x'])))
    await script.ask('stamped, from the past', API.Produce, 9, {
      ...to('produce-stamped', stamped, 0, script.batch(['x'], { timestamp: 5 })),
    })
    await script.ask('by time', API.ListOffsets, 5, {
      replicaId: -1,
      topics: [
        { name: 'produce-stamped', partitions: [{ partitionIndex: 0, timestamp: script.nowMs - 60_000 }] },
      ],
    })
    const narrow = await script.createTopic('produce-narrow', 1, {
      'message.timestamp.before.max.ms': '1000',
      'message.timestamp.after.max.ms': '1000',
    })
    for (const shift of [-60_000, 0, 60_000]) {
      const batch = script.batch(['x'], { timestamp: Date.now() + shift })
      await script.ask(`shifted by ${shift} ms`, API.Produce, 9, to('produce-narrow', narrow, 0, batch))
    }
    const replicated = await script.createTopic('produce-min-isr', 1, { 'min.insync.replicas': '2' })
    await script.ask(
      'too few replicas',
      API.Produce,
      9,
      to('produce-min-isr', replicated, 0, script.batch(['x'])),
    )
    await script.ask('too few replicas, acks 1', API.Produce, 9, {
      ...to('produce-min-isr', replicated, 0, script.batch(['x']), 1),
    })
    for (const codec of ['gzip', 'zstd'] as const) {
      const large = 'x'.repeat(3_000_000)
      const name = `produce-large-${codec}`
      const id = await script.createTopic(name)
      await script.ask('large, and small as sent', API.Produce, 9, {
        ...to(name, id, 0, script.batch([large], { codec })),
      })
    }
  },
}

const idempotence: Scenario = {
  name: 'produce: idempotence',
  async run(script) {
    const topic = 'produce-idempotence'
    const id = await script.createTopic(topic, 4)
    const producer = await script.freshProducerId()
    const ask = (what: string, partition: number, batch: Buffer) =>
      script.ask(what, API.Produce, 9, to(topic, id, partition, batch))
    for (let sequence = 0; sequence < 14; sequence += 2) {
      await ask(`sequence ${sequence}`, 0, script.sequenced(producer, 0, sequence, 2))
    }
    for (const sequence of [12, 6, 4, 2, 0]) {
      await ask(`sequence ${sequence} again`, 0, script.sequenced(producer, 0, sequence, 2))
    }
    await ask('a gap', 0, script.sequenced(producer, 0, 20))
    await ask('overlapping', 0, script.sequenced(producer, 0, 13, 2))
    await ask('a duplicate of another length', 0, script.sequenced(producer, 0, 12, 1))
    await ask('a longer duplicate', 0, script.sequenced(producer, 0, 12, 3))
    await ask('a new epoch that does not begin at 0', 0, script.sequenced(producer, 1, 14))
    await ask('a new epoch', 0, script.sequenced(producer, 1, 0))
    await ask('the old epoch', 0, script.sequenced(producer, 0, 14))
    await ask('the new epoch again', 0, script.sequenced(producer, 1, 0))
    await ask('an epoch skipped', 0, script.sequenced(producer, 5, 0))
    await ask('an unknown producer in the middle', 1, script.sequenced(producer, 0, 5))
    await ask('and from the beginning', 1, script.sequenced(producer, 0, 0))
    await ask('and on', 1, script.sequenced(producer, 0, 6))
    const other = await script.freshProducerId()
    await ask('near the end of the numbers', 2, script.sequenced(other, 0, 0x7fff_fffd, 2))
    await ask('to the end of the numbers', 2, script.sequenced(other, 0, 0x7fff_ffff, 1))
    await ask('around the end of the numbers', 2, script.sequenced(other, 0, 0, 1))
    await ask('a producer nobody gave an id', 3, script.sequenced(99_999_999n as never, 0, 0))
    await script.ask('two batches of one producer in one request', API.Produce, 9, {
      acks: -1,
      timeoutMs: 5000,
      topicData: [
        {
          name: topic,
          topicId: id,
          partitionData: [
            { index: 3, records: script.sequenced(other, 0, 0) },
            { index: 3, records: script.sequenced(other, 0, 1) },
          ],
        },
      ],
    })
    await script.ask('the state of the producers', API.DescribeProducers, 0, {
      topics: [{ name: topic, partitionIndexes: [0, 1, 2, 3, 9] }],
    })
  },
}

const transactional: Scenario = {
  name: 'produce: transactional',
  async run(script) {
    const topic = 'produce-transactional'
    const id = await script.createTopic(topic)
    const producer = await script.freshProducerId()
    const inside = script.batch(['x'], {
      producerId: producer,
      producerEpoch: 0 as never,
      baseSequence: 0,
      isTransactional: true,
    })
    await script.ask('without a transactional id', API.Produce, 9, to(topic, id, 0, inside))
    await script.ask('with one that nobody has', API.Produce, 9, {
      ...to(topic, id, 0, inside),
      transactionalId: 'nobody',
    })
    await script.ask('with one, but a plain batch', API.Produce, 9, {
      ...to(topic, id, 0, script.sequenced(producer, 0, 0)),
      transactionalId: 'nobody',
    })
  },
}

export const produceScenarios = [requests, batches, limits, idempotence, transactional]
