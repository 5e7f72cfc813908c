/**
 * DescribeCluster (KIP-700): the brokers of the cluster.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type DescribeClusterRequest,
  type DescribeClusterResponse,
} from '../../client/protocol/messages/describe-cluster.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler, type ConnectionInfo } from '../server/handler.ts'
import { type BrokerNode, controllerId, registeredNode, servingNodes } from './brokers.ts'
import { ALL_CLUSTER_OPERATIONS, type BrokerContext, OPERATIONS_NOT_ASKED } from './context.ts'

type Response = Input<typeof DescribeClusterResponse>

const BROKERS = 1
const CONTROLLERS = 2

export function describeClusterHandler(context: BrokerContext): ApiHandler<DescribeClusterRequest, Response> {
  return {
    api: API.DescribeCluster,
    handle(request, { connection }) {
      const { clusterId } = context
      const { endpointType, includeFencedBrokers } = request
      if (endpointType !== BROKERS) {
        const known = endpointType === CONTROLLERS
        const errorCode = known ? ErrorCode.MISMATCHED_ENDPOINT_TYPE : ErrorCode.UNSUPPORTED_ENDPOINT_TYPE
        const errorMessage = known
          ? 'The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER.'
          : `Unsupported endpoint type ${endpointType}`
        // The type of endpoint that answers, not the one that was asked for.
        return { errorCode, errorMessage, endpointType: BROKERS, clusterId, controllerId: -1, brokers: [] }
      }
      return {
        errorCode: ErrorCode.NONE,
        endpointType,
        clusterId,
        controllerId: controllerId(context),
        brokers: [
          ...servingNodes(context, connection).map(node => ({ ...node, isFenced: false })),
          ...(includeFencedBrokers ? fencedNodes(context, connection) : []),
        ].sort((a, b) => a.brokerId - b.brokerId),
        clusterAuthorizedOperations: request.includeClusterAuthorizedOperations
          ? ALL_CLUSTER_OPERATIONS
          : OPERATIONS_NOT_ASKED,
      }
    },
  }
}

/** Of a broker that is not there nobody knows where it was: it has no address, and port -1. */
function fencedNodes(
  context: BrokerContext,
  connection: ConnectionInfo,
): (BrokerNode & { isFenced: true })[] {
  if (context.metadata.isAlone) return []
  const { brokers } = context.metadata.image
  const known = new Set(brokers.states().map(({ broker }) => broker))
  for (const { broker } of brokers.registered()) known.add(broker)
  return [...known]
    .filter(broker => !brokers.isUnfenced(broker))
    .map(brokerId => {
      const rack = brokers.get(brokerId)?.rack ?? null
      const node = registeredNode(context, connection, brokerId) ?? { brokerId, host: '', port: -1, rack }
      return { ...node, isFenced: true }
    })
}
