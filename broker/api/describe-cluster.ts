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
import { type ApiHandler } from '../server/handler.ts'
import { ALL_CLUSTER_OPERATIONS, type BrokerContext, OPERATIONS_NOT_ASKED } from './context.ts'

type Response = Input<typeof DescribeClusterResponse>

const BROKERS = 1
const CONTROLLERS = 2

export function describeClusterHandler(context: BrokerContext): ApiHandler<DescribeClusterRequest, Response> {
  return {
    api: API.DescribeCluster,
    handle(request, { connection }) {
      const { clusterId, brokerId } = context
      const { endpointType } = request
      if (endpointType !== BROKERS) {
        const known = endpointType === CONTROLLERS
        const errorCode = known ? ErrorCode.MISMATCHED_ENDPOINT_TYPE : ErrorCode.UNSUPPORTED_ENDPOINT_TYPE
        const errorMessage = known
          ? 'The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER.'
          : `Unsupported endpoint type ${endpointType}`
        // The type of endpoint that answers, not the one that was asked for.
        return { errorCode, errorMessage, endpointType: BROKERS, clusterId, controllerId: -1, brokers: [] }
      }
      const { host, port } = context.endpoint(connection)
      const rack = context.config.values['broker.rack']
      return {
        errorCode: ErrorCode.NONE,
        endpointType,
        clusterId,
        controllerId: brokerId,
        brokers: [{ brokerId, host, port, rack, isFenced: false }],
        clusterAuthorizedOperations: request.includeClusterAuthorizedOperations
          ? ALL_CLUSTER_OPERATIONS
          : OPERATIONS_NOT_ASKED,
      }
    },
  }
}
