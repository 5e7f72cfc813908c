/**
 * SaslAuthenticate: one step of a SASL exchange (KIP-152).
 *
 * Versions: 1 tells how long the session is good for, after which it must be authenticated again (KIP-368), 2 is
 * flexible.
 */
import { bytes, type Infer, int16, int64, message, string } from '../schema.ts'

const versions = { min: 0, max: 2, flexible: 2 }

export const SaslAuthenticateRequest = message('SaslAuthenticateRequest', versions, {
  authBytes: bytes(),
})
export type SaslAuthenticateRequest = Infer<typeof SaslAuthenticateRequest>

export const SaslAuthenticateResponse = message('SaslAuthenticateResponse', versions, {
  errorCode: int16(),
  errorMessage: string({ nullable: true }),
  authBytes: bytes(),
  sessionLifetimeMs: int64({ since: 1, ignorable: true }),
})
export type SaslAuthenticateResponse = Infer<typeof SaslAuthenticateResponse>
