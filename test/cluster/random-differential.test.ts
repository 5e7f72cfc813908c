/** The same random conversation with one broker and with three, also while those three die and come back. */
import t, { type Test } from 'tap'
import { startBroker, startCluster, type TestCluster } from '../../broker/testing.ts'
import { API } from '../../client/protocol/apis.ts'
import { Chance } from '../fuzz/chance.ts'
import { Script } from '../interop/differential/script.ts'
import { ClusterPeer } from './differential/cluster-peer.ts'
import { RandomTalk, type TalkOptions } from './differential/random-talk.ts'
import { withoutTopology } from './differential/topology.ts'

const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000)
const REQUESTS = Number(process.env['REQUESTS'] ?? 400)
const configs = { 'offsets.topic.num.partitions': '1' }

type Disturb = (cluster: TestCluster, chance: Chance) => Promise<void>

/** Everything that was acknowledged is on all of them then, so nothing may be missing afterwards. */
async function killAndRestart(cluster: TestCluster, chance: Chance): Promise<void> {
  const brokerId = chance.between(1, 3)
  await cluster.kill(brokerId)
  await cluster.restart(brokerId)
}

async function compare(t: Test, disturb: Disturb | null): Promise<void> {
  await using broker = await startBroker({ configs })
  await using cluster = await startCluster({ configs })
  await using one = await ClusterPeer.connect([broker], Math.random)
  const seats = Chance.of(SEED, 'seats', 0)
  await using three = await ClusterPeer.connect(cluster.brokers, () => seats.int(3) / 3)
  const replicas = [0, 1, 2].map(seat => 1 + ((SEED + seat) % 3))
  const nowMs = Date.now()
  const alone = new Script(one, three, nowMs, { replicas: [1] })
  const together = new Script(three, one, nowMs, { replicas })
  const talk = (script: Script, options: TalkOptions) =>
    new RandomTalk(script, Chance.of(SEED, 'talk', 0), options).run(REQUESTS)
  const misfortune: Partial<TalkOptions> =
    disturb === null
      ? {}
      : {
          disturb: async chance => {
            await three.settled()
            await disturb(cluster, chance)
            await three.settled()
            // All partitions of a topic are to have one leader again, also those that it gets later.
            await three.ask(API.ElectLeaders, 2, { electionType: 0, topicPartitions: null })
          },
        }
  const outcomes = await Promise.allSettled([
    talk(alone, { replicas: [1] }),
    talk(together, { replicas, ...misfortune }),
  ])
  const plain = (answer: unknown): unknown => withoutTopology(answer, disturb !== null)
  for (const [index, { what, answer }] of alone.lines.entries()) {
    const line = together.lines[index]
    if (!t.same([line?.what, plain(line?.answer)], [what, plain(answer)], what)) break
  }
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  t.equal(together.lines.length, alone.lines.length)
}

t.setTimeout(110_000)
t.test(`three brokers answer as one does, SEED=${SEED}`, t => compare(t, null))
t.test(`and nobody sees that they die and come back, SEED=${SEED}`, t => compare(t, killAndRestart))
