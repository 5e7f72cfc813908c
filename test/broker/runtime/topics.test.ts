import t from 'tap'
import { loadConfig } from '../../../broker/config.ts'
import { type ControllerRecord } from '../../../broker/controller/records.ts'
import { createMemoryEnv } from '../../../broker/env-memory.ts'
import { openEmbeddedMetaStore } from '../../../broker/metastore/embedded.ts'
import { ClusterMetadata } from '../../../broker/runtime/cluster-metadata.ts'
import { type PartitionAssignment, type PartitionManager } from '../../../broker/runtime/partition-manager.ts'
import { type ReplicaRoles } from '../../../broker/runtime/replica-roles.ts'
import { Topics } from '../../../broker/runtime/topics.ts'
import { type TopicId } from '../../../client/protocol/types.ts'

const TOPIC = '1'.padStart(32, '0') as TopicId

function partition(replicas: readonly number[], leader = replicas[0]!): ControllerRecord {
  const none = { elr: [], lastKnownElr: [], adding: [], removing: [] }
  const epochs = { leaderEpoch: 1, partitionEpoch: 1 }
  return {
    type: 'partition',
    topicId: TOPIC,
    partition: 0,
    leader,
    replicas,
    isr: replicas,
    ...epochs,
    ...none,
  }
}

/** Broker 1 with a topic of one partition, and what it did about its partitions. */
async function start(first: ControllerRecord) {
  const env = createMemoryEnv()
  await env.disk.makeDirectory('/data')
  const store = await openEmbeddedMetaStore({ env, dataFolder: '/data' })
  const onFatal = (error: Error): void => void t.fail(error.message)
  const { log, timers } = env
  const metadata = await ClusterMetadata.open({ store, clusterId: 'c', log, isAlone: true, onFatal })
  const done: string[] = []
  const partitions = {
    start: async (all: readonly PartitionAssignment[]) => void done.push(`start ${all.length}`),
    create: async (made: PartitionAssignment) => void done.push(`create ${made.partition}`),
    delete: async (_: TopicId, gone: number) => void done.push(`delete ${gone}`),
    updateConfig: () => void done.push('configure'),
  } as unknown as PartitionManager
  const roles = { applyAll() {}, applyTopic() {}, changed() {}, left() {} } as unknown as ReplicaRoles
  const { config } = loadConfig({})
  const topics = new Topics({ metadata, partitions, brokerId: 1, roles, config, log, timers })
  const change = async (...records: ControllerRecord[]): Promise<string[]> => {
    await metadata.perform({ conditions: [], records })
    await topics.settled(TOPIC)
    return done.splice(0)
  }
  await change(first, { type: 'topic', topicId: TOPIC, name: 'a', partitionCount: 1, configs: {} })
  await change({ type: 'topic-name', topicId: TOPIC, name: 'a' })
  await topics.start()
  t.teardown(() => {
    topics.stop()
    metadata.close()
  })
  return { done: done.splice(0), change }
}

t.test('a change of leader or ISR touches no files and no configs', async t => {
  const { done, change } = await start(partition([1, 2]))
  t.same(done, ['start 1'])
  t.same(await change(partition([1, 2], 2)), [])
  const config = {
    type: 'topic',
    topicId: TOPIC,
    name: 'a',
    partitionCount: 1,
    configs: { 'retention.ms': '1' },
  }
  t.same(await change(config as ControllerRecord), ['configure'])
})

t.test('replicas are made and deleted as they are assigned', async t => {
  const { done, change } = await start(partition([2, 3]))
  t.same(done, ['start 0'])
  t.same(await change(partition([2, 1])), ['create 0'])
  t.same(await change(partition([2, 1], 1)), [])
  t.same(await change(partition([2, 3])), ['configure', 'delete 0'])
  t.same(await change(partition([3, 2])), [])
})
