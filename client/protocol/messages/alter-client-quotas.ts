/**
 * AlterClientQuotas: sets and removes quotas (KIP-546).
 *
 * Versions: 1 is flexible.
 */
import { array, bool, float64, type Infer, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 1, flexible: 1 }

export const AlterClientQuotasRequest = message('AlterClientQuotasRequest', versions, {
  entries: array({
    entity: array({
      entityType: string(),
      entityName: string({ nullable: true }),
    }),
    ops: array({
      key: string(),
      value: float64(),
      remove: bool(),
    }),
  }),
  validateOnly: bool(),
})
export type AlterClientQuotasRequest = Infer<typeof AlterClientQuotasRequest>

export const AlterClientQuotasResponse = message('AlterClientQuotasResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  entries: array({
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
    entity: array({
      entityType: string(),
      entityName: string({ nullable: true }),
    }),
  }),
})
export type AlterClientQuotasResponse = Infer<typeof AlterClientQuotasResponse>
