/**
 * Kafka for tests, inside the test's own process: `await using broker = await startBroker()`, or
 * `await using cluster = await startCluster()` for three of them, and any client connects to their `bootstrap`. Works
 * the same in tap, node:test, vitest and jest.
 */
export { ApiKey, type ApiName } from '../client/protocol/apis.ts'
export { ErrorCode } from '../client/protocol/errors.ts'
export { createMemoryEnv, type MemoryEnv, type MemoryEnvOptions } from './env-memory.ts'
export {
  type Action,
  delay,
  drop,
  error,
  hang,
  type InterceptedRequest,
  type Interception,
  loseResponse,
  pass,
  respond,
} from './testing/interceptions.ts'
export type { StoredRecord } from './testing/stored-records.ts'
export {
  type RequestOf,
  type StartBrokerOptions,
  startBroker,
  type TestBroker,
} from './testing/test-broker.ts'
export type { TestMessage } from './testing/test-client.ts'
export {
  type LeaderOptions,
  type StartClusterOptions,
  startCluster,
  type TestCluster,
} from './testing/test-cluster.ts'
export type { TestTopic, TestTopics } from './testing/test-topics.ts'
export type { WaitOptions, WantedRecords } from './testing/waiting.ts'
