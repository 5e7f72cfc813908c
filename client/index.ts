/**
 * The public API of `sluice/client`. What is not exported here may change at any time.
 */

export type * from './admin/types.ts'
export { Admin } from './admin.ts'
export type {
  BrokerList,
  KafkaOptions,
  Logger,
  RetryOptions,
  SaslOptions,
} from './config.ts'
export type {
  Assignor,
  AssignorInput,
  AssignorMember,
  GroupAssignment,
} from './consumer/assignors/assignor.ts'
export { Consumer } from './consumer/consumer.ts'
export type * from './consumer/types.ts'
export type {
  BrokerAddress,
  ClientEnv,
  ClientSocket,
  SocketReceiver,
  TlsOptions,
} from './env.ts'
export { AbortError, type ClientErrorCode, KafkaError } from './errors.ts'
export { Kafka } from './kafka.ts'
export { Producer } from './producer/producer.ts'
export type * from './producer/types.ts'
export { type Bytes, jsonSerde, type Serde, type SerdeContext, stringSerde } from './serde.ts'
