/**
 * InitProducerId for idempotent producers: a fresh id, epoch 0. Kafka gives a fresh id too when a producer without
 * transactions sends the id that it had; such a producer bumps its epoch itself (KIP-360).
 *
 * Transactions are not served yet. INVALID_REQUEST is what every client takes for final; the other candidates would
 * have it look for a coordinator for ever.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type InitProducerIdRequest,
  type InitProducerIdResponse,
} from '../../client/protocol/messages/init-producer-id.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { NO_PRODUCER_EPOCH, NO_PRODUCER_ID } from '../../client/protocol/types.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'

type Response = Input<typeof InitProducerIdResponse>

export function initProducerIdHandler(context: BrokerContext): ApiHandler<InitProducerIdRequest, Response> {
  return {
    api: API.InitProducerId,
    async handle(request, { clientId }) {
      if (request.transactionalId !== null) {
        context.env.log.warn('A client asked for transactions, which are not served yet', { clientId })
        return refused(ErrorCode.INVALID_REQUEST)
      }
      // Both or neither: one alone means nothing.
      const hasId = request.producerId !== NO_PRODUCER_ID
      const hasEpoch = request.producerEpoch !== NO_PRODUCER_EPOCH
      if (hasId !== hasEpoch) return refused(ErrorCode.INVALID_REQUEST)
      const producerId = await context.producerIds.allocate()
      if (producerId === null) return refused(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
      return { errorCode: ErrorCode.NONE, producerId, producerEpoch: 0 }
    },
  }
}

function refused(errorCode: ErrorCode): Response {
  return { errorCode, producerId: NO_PRODUCER_ID, producerEpoch: NO_PRODUCER_EPOCH }
}
