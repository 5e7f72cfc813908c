/**
 * AlterConfigs: replaces all configs of a resource by those that are named; the rest falls back to its default. The
 * protocol keeps it for old tools; IncrementalAlterConfigs changes one config without touching the others.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type AlterConfigsRequest,
  type AlterConfigsResponse,
} from '../../client/protocol/messages/alter-configs.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { decideConfigReplacement } from '../controller/configs.ts'
import { type ApiHandler } from '../server/handler.ts'
import { alterConfigs } from './config-resources.ts'
import { type BrokerContext } from './context.ts'

type Response = Input<typeof AlterConfigsResponse>

export function alterConfigsHandler(context: BrokerContext): ApiHandler<AlterConfigsRequest, Response> {
  return {
    api: API.AlterConfigs,
    async handle({ resources, validateOnly }) {
      const outcomes = await alterConfigs(context, resources, validateOnly, ({ configs }, _current, rules) =>
        decideConfigReplacement(configs, rules),
      )
      return {
        responses: resources.map(({ resourceType, resourceName }, index) => ({
          errorCode: outcomes[index]?.error ?? ErrorCode.NONE,
          errorMessage: outcomes[index]?.message ?? null,
          resourceType,
          resourceName,
        })),
      }
    },
  }
}
