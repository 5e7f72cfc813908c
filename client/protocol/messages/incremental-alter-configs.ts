/**
 * IncrementalAlterConfigs: sets (operation 0), deletes (1), appends to (2) or subtracts from (3) single
 * configs (KIP-339).
 *
 * Versions: 1 is flexible.
 */
import { array, bool, type Infer, int8, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 1, flexible: 1 }

export const IncrementalAlterConfigsRequest = message('IncrementalAlterConfigsRequest', versions, {
  resources: array({
    resourceType: int8(),
    resourceName: string(),
    configs: array({
      name: string(),
      configOperation: int8(),
      value: string({ nullable: true }),
    }),
  }),
  validateOnly: bool(),
})
export type IncrementalAlterConfigsRequest = Infer<typeof IncrementalAlterConfigsRequest>

export const IncrementalAlterConfigsResponse = message('IncrementalAlterConfigsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  responses: array({
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
    resourceType: int8(),
    resourceName: string(),
  }),
})
export type IncrementalAlterConfigsResponse = Infer<typeof IncrementalAlterConfigsResponse>
