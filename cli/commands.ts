/**
 * All commands by their names, for oclif's explicit strategy. Command files are light: what costs time to load (the
 * client, a broker, the benchmarks) they load when they run.
 */
import { ApiVersions } from './commands/api-versions.ts'
import { BenchConsume } from './commands/bench/consume.ts'
import { BenchEndToEnd } from './commands/bench/e2e.ts'
import { BenchFailover } from './commands/bench/failover.ts'
import { BenchGroup } from './commands/bench/group.ts'
import { BenchProduce } from './commands/bench/produce.ts'
import { BrokerDescribe } from './commands/broker/describe.ts'
import { BrokerFormat } from './commands/broker/format.ts'
import { BrokerList } from './commands/broker/list.ts'
import { BrokerStart } from './commands/broker/start.ts'
import { BrokerValidate } from './commands/broker/validate.ts'
import { ClusterHealth } from './commands/cluster/health.ts'
import { ClusterInfo } from './commands/cluster/info.ts'
import { ClusterStart } from './commands/cluster/start.ts'
import { ConfigGet } from './commands/config/get.ts'
import { ConfigSet } from './commands/config/set.ts'
import { ConfigUnset } from './commands/config/unset.ts'
import { Consume } from './commands/consume.ts'
import { Dev } from './commands/dev.ts'
import { GroupDelete } from './commands/group/delete.ts'
import { GroupDescribe } from './commands/group/describe.ts'
import { GroupLag } from './commands/group/lag.ts'
import { GroupList } from './commands/group/list.ts'
import { GroupSeek } from './commands/group/seek.ts'
import { GroupWatch } from './commands/group/watch.ts'
import { LogDump } from './commands/log/dump.ts'
import { PartitionElect } from './commands/partition/elect.ts'
import { PartitionLeader } from './commands/partition/leader.ts'
import { PartitionReassign } from './commands/partition/reassign.ts'
import { PartitionStatus } from './commands/partition/status.ts'
import { Produce } from './commands/produce.ts'
import { TopicAddPartitions } from './commands/topic/add-partitions.ts'
import { TopicAlter } from './commands/topic/alter.ts'
import { TopicCreate } from './commands/topic/create.ts'
import { TopicDelete } from './commands/topic/delete.ts'
import { TopicDescribe } from './commands/topic/describe.ts'
import { TopicList } from './commands/topic/list.ts'
import { TopicOffsets } from './commands/topic/offsets.ts'
import { TopicTrim } from './commands/topic/trim.ts'

export const COMMANDS = {
  'api-versions': ApiVersions,
  'bench:consume': BenchConsume,
  'bench:e2e': BenchEndToEnd,
  'bench:failover': BenchFailover,
  'bench:group': BenchGroup,
  'bench:produce': BenchProduce,
  'broker:describe': BrokerDescribe,
  'broker:format': BrokerFormat,
  'broker:list': BrokerList,
  'broker:start': BrokerStart,
  'broker:validate': BrokerValidate,
  'cluster:health': ClusterHealth,
  'cluster:info': ClusterInfo,
  'cluster:start': ClusterStart,
  'config:get': ConfigGet,
  'config:set': ConfigSet,
  'config:unset': ConfigUnset,
  consume: Consume,
  dev: Dev,
  'group:delete': GroupDelete,
  'group:describe': GroupDescribe,
  'group:lag': GroupLag,
  'group:list': GroupList,
  'group:seek': GroupSeek,
  'group:watch': GroupWatch,
  'log:dump': LogDump,
  'partition:elect': PartitionElect,
  'partition:leader': PartitionLeader,
  'partition:reassign': PartitionReassign,
  'partition:status': PartitionStatus,
  produce: Produce,
  'topic:add-partitions': TopicAddPartitions,
  'topic:alter': TopicAlter,
  'topic:create': TopicCreate,
  'topic:delete': TopicDelete,
  'topic:describe': TopicDescribe,
  'topic:list': TopicList,
  'topic:offsets': TopicOffsets,
  'topic:trim': TopicTrim,
}
