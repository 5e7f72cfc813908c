/**
 * IncrementalAlterConfigs (KIP-339): sets, deletes, appends to and subtracts from single configs of a resource.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type IncrementalAlterConfigsRequest,
  type IncrementalAlterConfigsResponse,
} from '../../client/protocol/messages/incremental-alter-configs.ts'
import { type Input } from '../../client/protocol/schema.ts'
import {
  type ConfigDecision,
  type ConfigEdit,
  type ConfigOperation,
  type ConfigRules,
  decideConfigEdits,
} from '../controller/configs.ts'
import { refuse } from '../controller/records.ts'
import { type ApiHandler } from '../server/handler.ts'
import { alterConfigs } from './config-resources.ts'
import { type BrokerContext } from './context.ts'

type Response = Input<typeof IncrementalAlterConfigsResponse>
type AskedEdit = IncrementalAlterConfigsRequest['resources'][number]['configs'][number]

/** By the protocol's numbers. */
const OPERATIONS: readonly ConfigOperation[] = ['set', 'delete', 'append', 'subtract']

export function incrementalAlterConfigsHandler(
  context: BrokerContext,
): ApiHandler<IncrementalAlterConfigsRequest, Response> {
  return {
    api: API.IncrementalAlterConfigs,
    async handle({ resources, validateOnly }) {
      const outcomes = await alterConfigs(context, resources, validateOnly, ({ configs }, current, rules) =>
        decide(configs, current, rules),
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

function decide(
  asked: readonly AskedEdit[],
  current: ReadonlyMap<string, string>,
  rules: ConfigRules,
): ConfigDecision {
  const edits: ConfigEdit[] = []
  for (const { name, configOperation, value } of asked) {
    const operation = OPERATIONS[configOperation]
    if (operation === undefined) {
      const message = `Unknown operation type ${configOperation} for config ${name}`
      return { refusal: refuse(ErrorCode.INVALID_REQUEST, message) }
    }
    edits.push({ name, operation, value })
  }
  return decideConfigEdits(current, edits, rules)
}
