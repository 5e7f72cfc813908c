/**
 * ApiVersions: tells which APIs a broker serves, and in which versions. The first request on a connection. A
 * broker that does not know the version asked for answers in version 0 with UNSUPPORTED_VERSION and its own
 * range, so version 0 of the response is read by everyone, and the response header never has tagged fields.
 *
 * Versions: 1 adds the throttle time, 3 is flexible and carries the client's software (KIP-511) and the
 * cluster's features (KIP-584); below 4, features whose lowest version is 0 are left out; 5 lets the client say
 * whom it expects to meet.
 */
import { array, bool, type Infer, int16, int32, int64, message, string } from '../schema.ts'

const versions = { min: 0, max: 5, flexible: 3 }

export const ApiVersionsRequest = message('ApiVersionsRequest', versions, {
  clientSoftwareName: string({ since: 3, ignorable: true }),
  clientSoftwareVersion: string({ since: 3, ignorable: true }),
  clusterId: string({ since: 5, nullable: true, default: null, ignorable: true }),
  nodeId: int32({ since: 5, default: -1, ignorable: true }),
})
export type ApiVersionsRequest = Infer<typeof ApiVersionsRequest>

export const ApiVersionsResponse = message('ApiVersionsResponse', versions, {
  errorCode: int16(),
  apiKeys: array({
    apiKey: int16(),
    minVersion: int16(),
    maxVersion: int16(),
  }),
  throttleTimeMs: int32({ since: 1, ignorable: true }),
  supportedFeatures: array(
    {
      name: string(),
      minVersion: int16(),
      maxVersion: int16(),
    },
    { since: 3, tag: 0, ignorable: true },
  ),
  finalizedFeaturesEpoch: int64({ since: 3, default: -1, tag: 1, ignorable: true }),
  finalizedFeatures: array(
    {
      name: string(),
      maxVersionLevel: int16(),
      minVersionLevel: int16(),
    },
    { since: 3, tag: 2, ignorable: true },
  ),
  zkMigrationReady: bool({ since: 3, tag: 3, ignorable: true }),
})
export type ApiVersionsResponse = Infer<typeof ApiVersionsResponse>
