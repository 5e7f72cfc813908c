/**
 * What a producer says when it cannot deliver: which records, why, whether they may have been stored, and what to do.
 */
import { KafkaError } from '../errors.ts'
import { type ProducerBatch } from './batch.ts'
import { type TopicState } from './topic-state.ts'

/** Throws KafkaError INVALID_OPTION. */
export function checkPartition(state: TopicState, partition: number): void {
  const partitionCount = state.metadata!.partitions.length
  if (Number.isInteger(partition) && partition >= 0 && partition < partitionCount) return
  throw new KafkaError({
    code: 'INVALID_OPTION',
    message:
      `Partition ${partition} was chosen for a message of topic ${state.name}, which has the partitions 0 to ` +
      `${partitionCount - 1}. Correct the message or the partitioner, or add partitions.`,
    topic: state.name,
  })
}

export function closedError(): KafkaError {
  return new KafkaError({
    code: 'CLOSED',
    message: 'The producer is closed; make a new one with kafka.producer().',
  })
}

export function bufferFull(topic: string, bufferBytes: number): KafkaError {
  return new KafkaError({
    code: 'BUFFER_FULL',
    message:
      `The record for topic ${topic} was not taken: twice the producer's buffer of ${bufferBytes} bytes is full. ` +
      'Records come faster than the brokers take them: await what enqueue returns.',
    retriable: true,
    topic,
  })
}

export function flushError(failed: { readonly error: KafkaError; readonly records: number }): KafkaError {
  const { error, records } = failed
  return new KafkaError({
    code: error.code,
    message: `${records} enqueued record${records === 1 ? '' : 's'} could not be delivered. The first: ${error.message}`,
    retriable: error.retriable,
    fatal: error.fatal,
    api: error.api,
    broker: error.broker,
    topic: error.topic,
    partition: error.partition,
    cause: error,
  })
}

const MAY_BE_STORED =
  'They were sent, so they may have been stored all the same: sending them again may double them.'

function recordsOf({ topic, partition, recordCount }: ProducerBatch): string {
  const [records, were] = recordCount === 1 ? ['record', 'was'] : ['records', 'were']
  return `${recordCount} ${records} for ${topic}-${partition} ${were} not acknowledged`
}

/** For a batch that stands behind one that ran out of time, and that the leader does not take by its old number. */
export function inDoubt(batch: ProducerBatch, refusal: KafkaError | null): KafkaError {
  return new KafkaError({
    code: 'DELIVERY_TIMEOUT',
    message:
      `${recordsOf(batch)}: records before them had run out of time, and the new leader has none of them. ` +
      MAY_BE_STORED,
    retriable: true,
    api: 'Produce',
    broker: refusal?.broker,
    topic: batch.topic,
    partition: batch.partition,
    cause: refusal ?? undefined,
  })
}

/** For a batch that was not acknowledged within `deliveryTimeoutMs`. */
export function deliveryTimeout(
  batch: ProducerBatch,
  blockedBy: KafkaError | null,
  nowMs: number,
): KafkaError {
  const { topic, partition, attempts } = batch
  const cause = batch.lastError ?? blockedBy
  const fate = attempts === 0 ? 'They were never sent.' : MAY_BE_STORED
  const why =
    cause === null ? 'The broker did not answer in time.' : `What stood in the way: ${cause.message}`
  return new KafkaError({
    code: 'DELIVERY_TIMEOUT',
    message:
      `${recordsOf(batch)} within ` +
      `${Math.round(nowMs - batch.createdMs)} ms and ${attempts} attempt${attempts === 1 ? '' : 's'}. ${fate} ${why}`,
    retriable: true,
    api: 'Produce',
    broker: cause?.broker,
    topic,
    partition,
    cause: cause ?? undefined,
  })
}
