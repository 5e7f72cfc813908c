/**
 * DescribeClientQuotas: the quotas that match a filter over users, client ids and addresses (KIP-546).
 *
 * Versions: 1 is flexible.
 */
import { array, bool, float64, type Infer, int8, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 1, flexible: 1 }

export const DescribeClientQuotasRequest = message('DescribeClientQuotasRequest', versions, {
  components: array({
    entityType: string(),
    matchType: int8(),
    match: string({ nullable: true }),
  }),
  strict: bool(),
})
export type DescribeClientQuotasRequest = Infer<typeof DescribeClientQuotasRequest>

export const DescribeClientQuotasResponse = message('DescribeClientQuotasResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16(),
  errorMessage: string({ nullable: true }),
  entries: array(
    {
      entity: array({
        entityType: string(),
        entityName: string({ nullable: true }),
      }),
      values: array({
        key: string(),
        value: float64(),
      }),
    },
    { nullable: true },
  ),
})
export type DescribeClientQuotasResponse = Infer<typeof DescribeClientQuotasResponse>
