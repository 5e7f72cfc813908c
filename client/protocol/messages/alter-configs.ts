/**
 * AlterConfigs: replaces all configs of a resource by those that are given; what is not named falls back to
 * its default. IncrementalAlterConfigs is what clients should use.
 *
 * Versions: 2 is flexible.
 */
import { array, bool, type Infer, int8, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 2, flexible: 2 }

export const AlterConfigsRequest = message('AlterConfigsRequest', versions, {
  resources: array({
    resourceType: int8(),
    resourceName: string(),
    configs: array({
      name: string(),
      value: string({ nullable: true }),
    }),
  }),
  validateOnly: bool(),
})
export type AlterConfigsRequest = Infer<typeof AlterConfigsRequest>

export const AlterConfigsResponse = message('AlterConfigsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  responses: array({
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
    resourceType: int8(),
    resourceName: string(),
  }),
})
export type AlterConfigsResponse = Infer<typeof AlterConfigsResponse>
