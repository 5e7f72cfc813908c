/**
 * The requests that are put to Apache Kafka, put to one broker and to three: whatever does not tell of the topology
 * must be the same, whichever of the three is asked.
 */
import t from 'tap'
import { startBroker, startCluster } from '../../broker/testing.ts'
import { Chance } from '../fuzz/chance.ts'
import { clusterScenarios } from '../interop/differential/cluster.ts'
import { configScenarios } from '../interop/differential/configs.ts'
import { fetchScenarios } from '../interop/differential/fetch.ts'
import { groupScenarios } from '../interop/differential/groups.ts'
import { offsetScenarios } from '../interop/differential/offsets.ts'
import { produceScenarios } from '../interop/differential/produce.ts'
import { type Scenario, Script } from '../interop/differential/script.ts'
import { topicScenarios } from '../interop/differential/topics.ts'
import { ClusterPeer } from './differential/cluster-peer.ts'
import { withoutTopology } from './differential/topology.ts'

const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
const configs = { 'offsets.topic.num.partitions': '1', 'log.segment.bytes': '1048576' }

const scenarios: readonly Scenario[] = [
  ...produceScenarios,
  ...fetchScenarios,
  ...offsetScenarios,
  ...topicScenarios,
  ...configScenarios,
  ...clusterScenarios,
  ...groupScenarios,
]

/** What is possible with three brokers and not with one, or the other way round. */
const TOPOLOGY = [
  // There is a broker 2 there, whose fetches must carry the epoch that it is registered under.
  /^Fetch v\d+: replica 2$/,
  /^CreateTopics v\d+: 2 replicas$/,
  // The topic has three copies of its other partitions there.
  /^CreatePartitions v\d+: (assigned to 1|to 5, assigned)$/,
]

t.setTimeout(110_000)
t.test(`three brokers answer as one does, SEED=${SEED}`, async t => {
  await using broker = await startBroker({ configs })
  await using cluster = await startCluster({ configs })
  const seats = Chance.of(SEED, 'seats', 0)
  for (const [index, scenario] of scenarios.entries()) {
    await t.test(scenario.name, async t => {
      await Promise.all([broker.reset(), cluster.reset()])
      await using one = await ClusterPeer.connect([broker], () => 0)
      await using three = await ClusterPeer.connect(cluster.brokers, () => seats.int(3) / 3)
      const replicas = [0, 1, 2].map(seat => 1 + ((index + seat) % 3))
      const nowMs = Date.now()
      const alone = new Script(one, three, nowMs, { replicas: [1] })
      const together = new Script(three, one, nowMs, { replicas })
      await Promise.all([scenario.run(alone), scenario.run(together)])
      t.equal(together.lines.length, alone.lines.length)
      for (const [index, { what, answer }] of alone.lines.entries()) {
        const line = together.lines[index]
        if (line?.what === what && TOPOLOGY.some(pattern => pattern.test(what))) continue
        t.same([line?.what, withoutTopology(line?.answer)], [what, withoutTopology(answer)], what)
      }
    })
  }
})
