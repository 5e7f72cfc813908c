/**
 * UpdateFeatures: raises or lowers the finalized level of cluster-wide features (KIP-584).
 *
 * Versions: 1 has a kind of upgrade in place of a flag, and can merely validate (KIP-778); 2 answers for all features
 * together (KIP-1022).
 */
import { array, bool, type Infer, int8, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 2, flexible: 0 }

export const UpdateFeaturesRequest = message('UpdateFeaturesRequest', versions, {
  timeoutMs: int32({ default: 60_000 }),
  featureUpdates: array({
    feature: string(),
    maxVersionLevel: int16(),
    allowDowngrade: bool({ until: 0 }),
    upgradeType: int8({ since: 1, default: 1 }),
  }),
  validateOnly: bool({ since: 1, default: false }),
})
export type UpdateFeaturesRequest = Infer<typeof UpdateFeaturesRequest>

export const UpdateFeaturesResponse = message('UpdateFeaturesResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16(),
  errorMessage: string({ nullable: true }),
  results: array(
    {
      feature: string(),
      errorCode: int16(),
      errorMessage: string({ nullable: true }),
    },
    { until: 1, ignorable: true },
  ),
})
export type UpdateFeaturesResponse = Infer<typeof UpdateFeaturesResponse>
