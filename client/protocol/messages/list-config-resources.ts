/**
 * ListConfigResources: the resources that have configs of their own.
 *
 * Versions: 0 lists client metrics subscriptions (KIP-714), 1 any type of resource (KIP-1142).
 */
import { array, type Infer, int8, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 1, flexible: 0 }

export const ListConfigResourcesRequest = message('ListConfigResourcesRequest', versions, {
  resourceTypes: array(int8(), { since: 1 }),
})
export type ListConfigResourcesRequest = Infer<typeof ListConfigResourcesRequest>

export const ListConfigResourcesResponse = message('ListConfigResourcesResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16(),
  configResources: array({
    resourceName: string(),
    resourceType: int8({ since: 1, default: 16, ignorable: true }),
  }),
})
export type ListConfigResourcesResponse = Infer<typeof ListConfigResourcesResponse>
