import t from 'tap'
import { DEFAULT_LOG_CONFIG, type LogConfig } from '../../../broker/log/config.ts'
import { checkProduce } from '../../../broker/log/produce-checks.ts'
import {
  BATCH_ATTRIBUTES_AT,
  BATCH_BASE_OFFSET_AT,
  BATCH_LAST_OFFSET_DELTA_AT,
  BATCH_MAGIC_AT,
  BATCH_RECORD_COUNT_AT,
  stampChecksum,
} from '../../../client/protocol/batch.ts'
import { ErrorCode, errorName } from '../../../client/protocol/errors.ts'
import { type BatchOptions, encodeBatch } from '../../../client/protocol/record.ts'
import { type ProducerEpoch, type ProducerId } from '../../../client/protocol/types.ts'

const NOW_MS = 1_700_000_000_000

function someBatch(options: BatchOptions = {}, timestamp = NOW_MS, count = 3): Buffer {
  return encodeBatch(
    Array.from({ length: count }, (_, index) => ({ value: `record ${index}`, timestamp })),
    options,
  )
}

/** A batch with a byte changed and a checksum that is right again. */
function forged(at: number, value: number, batch = someBatch()): Buffer {
  batch[at] = value
  stampChecksum(batch, 0)
  return batch
}

function check(records: Uint8Array, config: Partial<LogConfig> = {}): string {
  const refusal = checkProduce(records, { ...DEFAULT_LOG_CONFIG, ...config }, NOW_MS)
  return errorName(refusal?.error ?? ErrorCode.NONE)
}

t.test('one whole batch passes', t => {
  t.equal(check(someBatch()), 'NONE')
  t.equal(check(someBatch({ codec: 'gzip' })), 'NONE')
  t.equal(
    check(someBatch({ producerId: 1n as ProducerId, producerEpoch: 0 as ProducerEpoch, baseSequence: 5 })),
    'NONE',
  )
  t.end()
})

t.test('anything but one batch is refused', t => {
  t.equal(check(Buffer.alloc(0)), 'INVALID_RECORD', 'nothing')
  t.equal(check(Buffer.concat([someBatch(), someBatch()])), 'INVALID_RECORD', 'two batches')
  t.equal(check(someBatch().subarray(0, 80)), 'INVALID_RECORD', 'a part of one')
  t.equal(check(Buffer.from('hello')), 'INVALID_RECORD', 'less than a header')
  t.end()
})

t.test('sizes are bounded by the topic', t => {
  const { length } = someBatch()
  t.equal(check(someBatch(), { maxMessageBytes: length }), 'NONE')
  t.equal(check(someBatch(), { maxMessageBytes: length - 1 }), 'MESSAGE_TOO_LARGE')
  t.equal(check(someBatch(), { segmentBytes: length - 1 }), 'RECORD_LIST_TOO_LARGE')
  t.end()
})

t.test('damaged and forged batches are refused', t => {
  const damaged = someBatch()
  damaged[damaged.length - 1]! ^= 1
  t.equal(check(damaged), 'CORRUPT_MESSAGE')
  t.equal(check(forged(BATCH_MAGIC_AT, 1)), 'INVALID_RECORD')
  t.equal(check(forged(BATCH_MAGIC_AT, 3)), 'CORRUPT_MESSAGE', 'no checksum covers it')
  t.equal(check(forged(BATCH_RECORD_COUNT_AT + 3, 2)), 'INVALID_RECORD', 'fewer records than offsets')
  t.equal(check(forged(BATCH_LAST_OFFSET_DELTA_AT + 3, 9)), 'INVALID_RECORD', 'more offsets than records')
  t.equal(check(forged(BATCH_BASE_OFFSET_AT + 7, 1)), 'INVALID_RECORD', 'a base offset of its own')
  t.equal(check(forged(BATCH_ATTRIBUTES_AT + 1, 0x20)), 'INVALID_RECORD', 'a control batch')
  t.equal(check(forged(BATCH_ATTRIBUTES_AT + 1, 0x07)), 'INVALID_RECORD', 'an unknown codec')
  const halfProducer = someBatch({ producerId: 1n as ProducerId, producerEpoch: 0 as ProducerEpoch })
  t.equal(check(halfProducer), 'INVALID_RECORD', 'a producer id without a sequence')
  t.end()
})

t.test('timestamps must lie where the topic allows', t => {
  const HOUR_MS = 3_600_000
  const limits = { messageTimestampBeforeMaxMs: HOUR_MS, messageTimestampAfterMaxMs: HOUR_MS }
  t.equal(check(someBatch({}, NOW_MS - HOUR_MS), limits), 'NONE')
  t.equal(check(someBatch({}, NOW_MS - HOUR_MS - 1), limits), 'INVALID_TIMESTAMP')
  t.equal(check(someBatch({}, NOW_MS + HOUR_MS), limits), 'NONE')
  t.equal(check(someBatch({}, NOW_MS + HOUR_MS + 1), limits), 'INVALID_TIMESTAMP')
  t.equal(check(someBatch({}, 0)), 'NONE', 'the past is open by default')
  t.equal(
    check(someBatch({}, 0), { ...limits, messageTimestampType: 'LogAppendTime' }),
    'NONE',
    'they do not matter where the broker gives them',
  )
  t.equal(check(someBatch({ logAppendTimeMs: NOW_MS })), 'INVALID_TIMESTAMP', 'a producer is no broker')
  t.end()
})
