/**
 * AlterUserScramCredentials: sets and removes SCRAM credentials. Passwords come salted and hashed (KIP-554).
 */
import { array, bytes, type Infer, int8, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 0, flexible: 0 }

export const AlterUserScramCredentialsRequest = message('AlterUserScramCredentialsRequest', versions, {
  deletions: array({
    name: string(),
    mechanism: int8(),
  }),
  upsertions: array({
    name: string(),
    mechanism: int8(),
    iterations: int32(),
    salt: bytes(),
    saltedPassword: bytes(),
  }),
})
export type AlterUserScramCredentialsRequest = Infer<typeof AlterUserScramCredentialsRequest>

export const AlterUserScramCredentialsResponse = message('AlterUserScramCredentialsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  results: array({
    user: string(),
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
  }),
})
export type AlterUserScramCredentialsResponse = Infer<typeof AlterUserScramCredentialsResponse>
