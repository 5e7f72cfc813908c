/**
 * DescribeConfigs: configs of topics (resource type 2), brokers (4) and other resources, with where each value
 * comes from.
 *
 * Versions: 1 tells the source of a value and its synonyms (KIP-226), 3 adds types and documentation (KIP-569),
 * 4 is flexible.
 */
import { array, bool, type Infer, int8, int16, int32, message, string } from '../schema.ts'

const versions = { min: 1, max: 4, flexible: 4 }

export const DescribeConfigsRequest = message('DescribeConfigsRequest', versions, {
  resources: array({
    resourceType: int8(),
    resourceName: string(),
    configurationKeys: array(string(), { nullable: true }),
  }),
  includeSynonyms: bool({ default: false }),
  includeDocumentation: bool({ since: 3 }),
})
export type DescribeConfigsRequest = Infer<typeof DescribeConfigsRequest>

export const DescribeConfigsResponse = message('DescribeConfigsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  results: array({
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
    resourceType: int8(),
    resourceName: string(),
    configs: array({
      name: string(),
      value: string({ nullable: true }),
      readOnly: bool(),
      configSource: int8({ default: -1 }),
      isSensitive: bool(),
      synonyms: array({
        name: string(),
        value: string({ nullable: true }),
        source: int8(),
      }),
      configType: int8({ since: 3, ignorable: true }),
      documentation: string({ since: 3, nullable: true, ignorable: true }),
    }),
  }),
})
export type DescribeConfigsResponse = Infer<typeof DescribeConfigsResponse>
