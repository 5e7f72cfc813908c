/**
 * ApiVersions: what this broker serves is what its registry holds, and nothing else. No feature is named, because none
 * is finalized: `transaction.version` above all would make clients leave out AddPartitionsToTxn.
 *
 * A request newer than version 5 is answered by the server, before any handler, in version 0.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type ApiVersionsRequest,
  type ApiVersionsResponse,
} from '../../client/protocol/messages/api-versions.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler, type HandlerRegistry } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'

/** What a client may call itself: KIP-511. */
const SOFTWARE = /^[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,254}[a-zA-Z0-9])?$/

export function apiVersionsHandler(
  context: BrokerContext,
  registry: () => HandlerRegistry,
): ApiHandler<ApiVersionsRequest, Input<typeof ApiVersionsResponse>> {
  let apiKeys: { apiKey: number; minVersion: number; maxVersion: number }[] | null = null
  return {
    api: API.ApiVersions,
    handle(request, { apiVersion, connection }) {
      if (apiVersion >= 3) {
        const { clientSoftwareName, clientSoftwareVersion } = request
        if (!SOFTWARE.test(clientSoftwareName) || !SOFTWARE.test(clientSoftwareVersion)) {
          return { errorCode: ErrorCode.INVALID_REQUEST, apiKeys: [] }
        }
        connection.clientSoftwareName = clientSoftwareName
        connection.clientSoftwareVersion = clientSoftwareVersion
      }
      // A client whose address has come to belong to another broker must start over (KIP-1242).
      const wrongCluster = request.clusterId !== null && request.clusterId !== context.clusterId
      const wrongNode = request.nodeId !== -1 && request.nodeId !== context.brokerId
      if (wrongCluster || wrongNode) return { errorCode: ErrorCode.REBOOTSTRAP_REQUIRED, apiKeys: [] }
      apiKeys ??= [...registry().values()]
        .map(({ api }) => ({ apiKey: api.key, minVersion: api.minVersion, maxVersion: api.maxVersion }))
        .sort((a, b) => a.apiKey - b.apiKey)
      return { errorCode: ErrorCode.NONE, apiKeys }
    },
  }
}
