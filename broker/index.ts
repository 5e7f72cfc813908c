/**
 * The public API of `sluice/broker`: a broker inside a process, and the means to configure it. For tests there is
 * `sluice/testing`, which is shorter.
 */
export {
  Broker,
  BrokerError,
  type BrokerOptions,
  type BrokerState,
  createBroker,
  type ListeningAddress,
  type TopicSpec,
} from './broker.ts'
export { BrokerConfig } from './config/broker-config.ts'
export { BROKER_CONFIGS, type BrokerConfigName, type BrokerConfigValues } from './config/broker-configs.ts'
export { ConfigError } from './config/definition.ts'
export { TOPIC_CONFIGS, type TopicConfigName, type TopicConfigValues } from './config/topic-configs.ts'
export { type ConfigInput, type LoadedConfig, loadConfig } from './config.ts'
export {
  type Address,
  type Clock,
  type Disk,
  DiskError,
  type Env,
  type Log,
  type Network,
  NetworkError,
  type Random,
  type Rpc,
  type RpcTls,
  type Timers,
} from './env.ts'
export { createNodeEnv, loadNodeRpc, type NodeEnvOptions } from './env-node.ts'
export { type EtcdOptions, openEtcdMetaStore } from './metastore/etcd.ts'
