/**
 * The same requests to this broker and to Apache Kafka: error codes and shapes of the answers must be the same, but for
 * the differences that are known and have a reason.
 */
import t from 'tap'
import { spawnBroker } from '../helpers/broker-process.ts'
import { clusterScenarios } from './differential/cluster.ts'
import { configScenarios } from './differential/configs.ts'
import { fetchScenarios } from './differential/fetch.ts'
import { groupScenarios } from './differential/groups.ts'
import { KNOWN_DIFFERENCES, type KnownDifference } from './differential/known.ts'
import { offsetScenarios } from './differential/offsets.ts'
import { produceScenarios } from './differential/produce.ts'
import { type Line, type Scenario, Script } from './differential/script.ts'
import { topicScenarios } from './differential/topics.ts'
import { spawnKafka, withoutKafkaTools } from './kafka-tools.ts'
import { Peer } from './peer.ts'

const scenarios: readonly Scenario[] = [
  ...produceScenarios,
  ...fetchScenarios,
  ...offsetScenarios,
  ...topicScenarios,
  ...configScenarios,
  ...clusterScenarios,
  ...groupScenarios,
]
const properties = {
  'node.id': 1,
  'log.segment.bytes': 1_048_576,
  'offsets.topic.num.partitions': 1,
  'group.initial.rebalance.delay.ms': 0,
}

t.setTimeout(110_000)
t.test('the same answers as Apache Kafka', { skip: withoutKafkaTools }, async t => {
  await using ours = await spawnBroker({ properties })
  await using kafka = await spawnKafka({ properties })
  for (const scenario of scenarios) {
    await t.test(scenario.name, async t => {
      await using here = await Peer.connect(ours.bootstrap)
      await using there = await Peer.connect(kafka.bootstrap)
      const nowMs = Date.now()
      const [our, their] = [new Script(here, there, nowMs), new Script(there, here, nowMs)]
      await Promise.all([scenario.run(our), scenario.run(their)])
      const known = KNOWN_DIFFERENCES.filter(difference => difference.scenario === scenario.name)
      const met = new Set<KnownDifference>()
      t.equal(our.lines.length, their.lines.length)
      t.not(our.lines.length, 0)
      for (const [index, line] of their.lines.entries()) {
        const found = differences(our.lines[index]!, line)
        const excuse = found.length === 0 ? undefined : known.find(({ what }) => what.test(line.what))
        if (excuse === undefined) t.same(found, [], line.what)
        else met.add(excuse)
      }
      for (const difference of known) t.ok(met.has(difference), `still differs: ${difference.what}`)
    })
  }
})

function differences(ours: Line, kafka: Line): string[] {
  if (ours.what !== kafka.what) return [`the scripts went apart: ${ours.what}`]
  return [...between(ours.answer, kafka.answer, '')]
}

function* between(ours: unknown, kafka: unknown, path: string): Generator<string> {
  // A message where Kafka has none is one more than it owes.
  if (path.endsWith('/errorMessage') && kafka === null) return
  if (isObject(ours) && isObject(kafka) && Array.isArray(ours) === Array.isArray(kafka)) {
    const keys = new Set([...Object.keys(ours), ...Object.keys(kafka)])
    for (const key of keys) yield* between(ours[key], kafka[key], `${path}/${key}`)
  } else if (ours !== kafka) {
    yield `${path}: ours ${JSON.stringify(ours)}, Kafka's ${JSON.stringify(kafka)}`
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
