/**
 * FindCoordinator: which broker coordinates a group. The topic in which groups are kept is made when this is first
 * asked. Kafka answers COORDINATOR_NOT_AVAILABLE meanwhile; here that takes some milliseconds, so the answer waits for
 * it and the client need not ask twice.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type FindCoordinatorRequest,
  type FindCoordinatorResponse,
} from '../../client/protocol/messages/find-coordinator.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler, type RequestContext } from '../server/handler.ts'
import { servingNode } from './brokers.ts'
import { type BrokerContext } from './context.ts'
import { sideBySide } from './side-by-side.ts'

type Response = Input<typeof FindCoordinatorResponse>
type Coordinator = NonNullable<Response['coordinators']>[number]

const KEY_GROUP = 0
const KEY_TRANSACTION = 1
const BATCHED_SINCE = 4

export function findCoordinatorHandler(context: BrokerContext): ApiHandler<FindCoordinatorRequest, Response> {
  return {
    api: API.FindCoordinator,
    async handle(request, requestContext) {
      const { keyType } = request
      if (requestContext.apiVersion >= BATCHED_SINCE) {
        const { timers } = context.env
        const found = sideBySide(timers, request.coordinatorKeys, key =>
          find(context, keyType, key, requestContext),
        )
        return { coordinators: await found }
      }
      const { errorCode, errorMessage, nodeId, host, port } = await find(
        context,
        keyType,
        request.key,
        requestContext,
      )
      return { errorCode, errorMessage, nodeId, host, port }
    },
  }
}

async function find(
  context: BrokerContext,
  keyType: number,
  key: string,
  { connection }: RequestContext,
): Promise<Coordinator> {
  // Not COORDINATOR_NOT_AVAILABLE: a client would ask again and again for what will not come.
  if (keyType !== KEY_GROUP) return nowhere(key, ErrorCode.INVALID_REQUEST, unserved(keyType))
  const { broker, refusal } = await context.groups.lookup(key)
  if (refusal !== null) return nowhere(key, ErrorCode.COORDINATOR_NOT_AVAILABLE, refusal.message)
  const node = servingNode(context, connection, broker)
  if (node === null) {
    const message = `Broker ${broker} coordinates the group, and cannot be reached by clients at this time.`
    return nowhere(key, ErrorCode.COORDINATOR_NOT_AVAILABLE, message)
  }
  const { host, port } = node
  return { key, nodeId: broker, host, port, errorCode: ErrorCode.NONE, errorMessage: null }
}

function unserved(keyType: number): string {
  return keyType === KEY_TRANSACTION
    ? 'Transactions are not served yet: produce without a transactional.id.'
    : `Coordinators of key type ${keyType} are not served: those of groups (0) are.`
}

function nowhere(key: string, errorCode: ErrorCode, errorMessage: string): Coordinator {
  return { key, nodeId: -1, host: '', port: -1, errorCode, errorMessage }
}
