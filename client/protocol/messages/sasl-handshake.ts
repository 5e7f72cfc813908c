/**
 * SaslHandshake: agrees on a SASL mechanism. Never flexible.
 *
 * Versions: after version 0 the exchange goes on as bare frames without headers, after version 1 as SaslAuthenticate
 * requests (KIP-152).
 */
import { array, type Infer, int16, message, string } from '../schema.ts'

const versions = { min: 0, max: 1 }

export const SaslHandshakeRequest = message('SaslHandshakeRequest', versions, {
  mechanism: string(),
})
export type SaslHandshakeRequest = Infer<typeof SaslHandshakeRequest>

export const SaslHandshakeResponse = message('SaslHandshakeResponse', versions, {
  errorCode: int16(),
  mechanisms: array(string()),
})
export type SaslHandshakeResponse = Infer<typeof SaslHandshakeResponse>
