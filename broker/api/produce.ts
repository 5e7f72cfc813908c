/**
 * Produce: hands each partition its batch, and answers when all have answered. The batches stay where the socket put
 * them; a partition that keeps one retains the memory that it lies in.
 *
 * Versions 0 to 2 are advertised, because librdkafka reads off version 0 whether a broker knows compression, but
 * refused when used: they carry record formats that are not stored. With acks=0 there is no answer; after an error
 * the connection is closed, which is the only way to make such a producer look for the leader again.
 */
import { API } from '../../client/protocol/apis.ts'
import {
  ATTRIBUTE_TRANSACTIONAL,
  BATCH_HEADER_BYTES,
  batchAttributes,
  batchByteLength,
  batchCodecId,
  batchMagic,
  describeBatchProblem,
} from '../../client/protocol/batch.ts'
import { ErrorCode, errorName } from '../../client/protocol/errors.ts'
import { type ProduceRequest, type ProduceResponse } from '../../client/protocol/messages/produce.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type TopicImage } from '../controller/image.ts'
import { isInternalTopic } from '../controller/topic-names.ts'
import { type Acks, type ProduceOutcome } from '../runtime/partition-types.ts'
import { type ApiHandler, NO_RESPONSE, type NoResponse, type RequestContext } from '../server/handler.ts'
import { nodeEndpoints } from './brokers.ts'
import { type BrokerContext, partitionOf } from './context.ts'

type Response = Input<typeof ProduceResponse>
type ResponsePartition = Response['responses'][number]['partitionResponses'][number]

/** The oldest version whose batches are of the stored format. */
const OLDEST_SERVED = 3
const ZSTD_SINCE = 7
const LEADER_HINT_SINCE = 10
const BY_TOPIC_ID_SINCE = 13
const ZSTD = 4

export function produceHandler(context: BrokerContext): ApiHandler<ProduceRequest, Response> {
  return {
    api: API.Produce,
    handle: (request, requestContext) => new ProduceOperation(context, request, requestContext).start(),
  }
}

type Refusal = { readonly error: ErrorCode; readonly message: string | null }

class ProduceOperation {
  readonly #context: BrokerContext
  readonly #request: ProduceRequest
  readonly #requestContext: RequestContext
  readonly #responses: Response['responses']
  #pending = 1
  #worst: ErrorCode = ErrorCode.NONE
  #resolve: ((response: Response | NoResponse) => void) | null = null

  constructor(context: BrokerContext, request: ProduceRequest, requestContext: RequestContext) {
    this.#context = context
    this.#request = request
    this.#requestContext = requestContext
    this.#responses = request.topicData.map(({ name, topicId }) => ({
      name,
      topicId,
      partitionResponses: [],
    }))
  }

  start(): Response | NoResponse | Promise<Response | NoResponse> {
    const refusal = this.#refusalOfAll()
    for (const [index, data] of this.#request.topicData.entries()) {
      const byId = this.#requestContext.apiVersion >= BY_TOPIC_ID_SINCE
      const { image } = this.#context.metadata
      const topic = byId ? image.topicById(data.topicId) : image.topic(data.name)
      const partitions = this.#responses[index]!.partitionResponses as ResponsePartition[]
      for (const [slot, { index: partition, records }] of data.partitionData.entries()) {
        // The place is taken now: answers may come in any order, and leave in that of the request.
        partitions.push(EMPTY_SLOT)
        this.#pending++
        const reply = (outcome: ProduceOutcome): void => {
          partitions[slot] = this.#describe(topic, partition, outcome)
          if (outcome.error !== ErrorCode.NONE) this.#worst = outcome.error
          this.#done()
        }
        if (refusal !== null) reply(refused(refusal))
        else if (topic !== undefined && isInternalTopic(topic.name)) reply(refused(INTERNAL_TOPIC))
        else this.#produce(topic, partition, records, reply)
      }
    }
    // The one that was counted in advance, so that nothing completes before all have been handed over.
    if (--this.#pending === 0) return this.#finish()
    return new Promise(resolve => {
      this.#resolve = resolve
    })
  }

  #done(): void {
    if (--this.#pending > 0) return
    this.#resolve?.(this.#finish())
  }

  /** What is wrong with the request as a whole is told for each partition: there is no other place in the response. */
  #refusalOfAll(): Refusal | null {
    const { acks, transactionalId } = this.#request
    if (this.#requestContext.apiVersion < OLDEST_SERVED) {
      return {
        error: ErrorCode.UNSUPPORTED_VERSION,
        message:
          'Record formats before version 2 are not stored: use a client that speaks Produce version 3 or later.',
      }
    }
    if (acks !== 0 && acks !== 1 && acks !== -1)
      return { error: ErrorCode.INVALID_REQUIRED_ACKS, message: null }
    if (transactionalId !== null) {
      return {
        error: ErrorCode.INVALID_REQUEST,
        message: 'Transactions are not served yet: produce without a transactional.id.',
      }
    }
    return null
  }

  #produce(
    topic: TopicImage | undefined,
    partition: number,
    records: Uint8Array | null,
    reply: (outcome: ProduceOutcome) => void,
  ): void {
    const { apiVersion, owner } = this.#requestContext
    const unknownTopic =
      apiVersion >= BY_TOPIC_ID_SINCE ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    const host = partitionOf(this.#context, topic, partition, unknownTopic)
    if (typeof host === 'number') {
      reply(refused({ error: host, message: null }))
      return
    }
    const refusal = refusalOfBatch(records, apiVersion)
    if (refusal !== null || records === null) {
      reply(refused(refusal ?? NO_RECORDS))
      return
    }
    host.produce(records, owner, this.#request.acks as Acks, this.#request.timeoutMs, reply)
  }

  #describe(topic: TopicImage | undefined, partition: number, outcome: ProduceOutcome): ResponsePartition {
    const { error, baseOffset, logAppendTimeMs, logStartOffset } = outcome
    if (error === ErrorCode.NONE) {
      return { index: partition, errorCode: error, baseOffset, logAppendTimeMs, logStartOffset }
    }
    const response = {
      index: partition,
      errorCode: error,
      baseOffset,
      logAppendTimeMs,
      logStartOffset: LOG_NOT_ASKED.has(error) ? -1 : logStartOffset,
      errorMessage: outcome.errorMessage,
      recordErrors: (outcome.recordErrors ?? []).map(({ batchIndex, message }) => ({
        batchIndex,
        batchIndexErrorMessage: message,
      })),
    }
    const registration = topic?.partitions[partition]
    if (
      error !== ErrorCode.NOT_LEADER_OR_FOLLOWER ||
      registration === undefined ||
      this.#requestContext.apiVersion < LEADER_HINT_SINCE
    ) {
      return response
    }
    const { leader, leaderEpoch } = registration
    return { ...response, currentLeader: { leaderId: leader, leaderEpoch } }
  }

  #finish(): Response | NoResponse {
    if (this.#request.acks === 0) {
      if (this.#worst !== ErrorCode.NONE) {
        this.#requestContext.closeConnection(
          `a produce request with acks=0 failed: ${errorName(this.#worst)}`,
        )
      }
      return NO_RESPONSE
    }
    const responses = this.#responses
    if (this.#worst === ErrorCode.NONE) return { responses }
    const leaders = responses.flatMap(topic =>
      topic.partitionResponses.flatMap(({ currentLeader }) => currentLeader?.leaderId ?? []),
    )
    if (leaders.length === 0) return { responses }
    const { connection } = this.#requestContext
    return { responses, nodeEndpoints: nodeEndpoints(this.#context, connection, leaders) }
  }
}

const EMPTY_SLOT: ResponsePartition = { index: -1, errorCode: ErrorCode.UNKNOWN_SERVER_ERROR, baseOffset: -1 }

const INTERNAL_TOPIC: Refusal = {
  error: ErrorCode.INVALID_TOPIC_EXCEPTION,
  message: 'The topic is internal: the broker alone writes to it.',
}

/** With these Kafka does not say where the log starts: the batch never came to be looked at by it. */
const LOG_NOT_ASKED: ReadonlySet<ErrorCode> = new Set([
  ErrorCode.CORRUPT_MESSAGE,
  ErrorCode.MESSAGE_TOO_LARGE,
])

const NO_RECORDS: Refusal = {
  error: ErrorCode.INVALID_RECORD,
  message: 'A partition of a produce request must carry one record batch.',
}

/** What the version of the request, and not the log, has against a batch. The log checks all the rest. */
function refusalOfBatch(records: Uint8Array | null, apiVersion: number): Refusal | null {
  if (records === null || records.length === 0) return NO_RECORDS
  if (records.length < BATCH_HEADER_BYTES) return null
  const magic = batchMagic(records, 0)
  if (magic === 0 || magic === 1) {
    return { error: ErrorCode.INVALID_RECORD, message: describeBatchProblem('OLD_FORMAT') }
  }
  if (records.length > batchByteLength(records, 0) && batchByteLength(records, 0) >= BATCH_HEADER_BYTES) {
    return {
      error: ErrorCode.INVALID_RECORD,
      message: 'A partition of a produce request must carry one record batch, and nothing behind it.',
    }
  }
  if (apiVersion < ZSTD_SINCE && batchCodecId(records, 0) === ZSTD) {
    return {
      error: ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
      message: `zstd needs Produce version ${ZSTD_SINCE} or later, so that every consumer can read it.`,
    }
  }
  if ((batchAttributes(records, 0) & ATTRIBUTE_TRANSACTIONAL) !== 0) {
    return { error: ErrorCode.INVALID_REQUEST, message: 'Transactions are not served yet.' }
  }
  return null
}

function refused({ error, message }: Refusal): ProduceOutcome {
  return { error, errorMessage: message, baseOffset: -1, logAppendTimeMs: -1, logStartOffset: -1 }
}
