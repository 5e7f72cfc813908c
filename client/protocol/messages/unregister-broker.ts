/**
 * UnregisterBroker: makes the cluster forget a broker that will not come back (KIP-500).
 */
import { type Infer, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 0, flexible: 0 }

export const UnregisterBrokerRequest = message('UnregisterBrokerRequest', versions, {
  brokerId: int32(),
})
export type UnregisterBrokerRequest = Infer<typeof UnregisterBrokerRequest>

export const UnregisterBrokerResponse = message('UnregisterBrokerResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16(),
  errorMessage: string({ nullable: true }),
})
export type UnregisterBrokerResponse = Infer<typeof UnregisterBrokerResponse>
