/**
 * DescribeUserScramCredentials: which SCRAM mechanisms users have credentials for, and with how many
 * iterations (KIP-554).
 */
import { array, type Infer, int8, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 0, flexible: 0 }

export const DescribeUserScramCredentialsRequest = message('DescribeUserScramCredentialsRequest', versions, {
  users: array(
    {
      name: string(),
    },
    { nullable: true },
  ),
})
export type DescribeUserScramCredentialsRequest = Infer<typeof DescribeUserScramCredentialsRequest>

export const DescribeUserScramCredentialsResponse = message(
  'DescribeUserScramCredentialsResponse',
  versions,
  {
    throttleTimeMs: int32({ default: 0 }),
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
    results: array({
      user: string(),
      errorCode: int16(),
      errorMessage: string({ nullable: true }),
      credentialInfos: array({
        mechanism: int8(),
        iterations: int32(),
      }),
    }),
  },
)
export type DescribeUserScramCredentialsResponse = Infer<typeof DescribeUserScramCredentialsResponse>
