/**
 * A short run of the simulator with every run of the suite, and the canaries: bugs planted to be found.
 */
import t from 'tap'
import { PLANTS } from './plants.ts'
import { type SimulationResult, simulate } from './simulation.ts'

/** A simulation drains promise jobs by itself: it wants a task of its own. */
function simulated(options: Parameters<typeof simulate>[0]): Promise<SimulationResult> {
  return new Promise((resolve, reject) => {
    setImmediate(() => {
      try {
        resolve(simulate(options))
      } catch (error) {
        reject(error)
      }
    })
  })
}

t.setTimeout(120_000)

/** Some of one broker alone, some of clusters; all of them short, as this runs with every run of the suite. */
const SEEDS = [4, 5, 6]

t.test('nothing that was promised is broken, whatever goes wrong', async t => {
  for (const seed of SEEDS) {
    const { violation, simulatedMs, recordsAcked, recordsRead } = await simulated({ seed })
    t.equal(violation?.message, undefined, `npm run -s sim -- --from ${seed} --seeds 1 --trace`)
    t.ok(simulatedMs >= 600_000, 'ten minutes go by')
    t.ok(
      recordsAcked > 100 && recordsRead > recordsAcked,
      `${recordsAcked} acknowledged, ${recordsRead} read`,
    )
  }
})

t.test('the same seed gives the same run, and is not changed by being looked at', async t => {
  const lines: string[] = []
  const first = await simulated({ seed: 5 })
  const second = await simulated({ seed: 5, trace: line => lines.push(line) })
  t.ok(first.brokers > 1, 'of a cluster')
  t.equal(second.hash, first.hash)
  t.equal(second.events, first.events)
  t.ok(lines.length > 100)
  const other = await simulated({ seed: 4 })
  t.not(other.hash, first.hash)
})

/** Each with the seed that finds it soonest; if a change moves that, one of the next few must. */
const CANARIES = [
  { name: 'commit-before-durable', from: 1 },
  { name: 'sequence-check-off', from: 1 },
  { name: 'ack-before-sync', from: 13 },
  { name: '16-old-coordinator-answers', from: 1 },
  { name: '23-controller-after-its-term', from: 1 },
  { name: '25-buffer-reused-while-written', from: 2 },
]
const WITHIN_SEEDS = 10

for (const { name, from } of CANARIES) {
  t.test(`a planted bug is found: ${name}`, async t => {
    const plant = PLANTS.find(each => each.name === name)!
    const uproot = plant.plant?.() ?? (() => {})
    t.teardown(uproot)
    const { wrapEnv } = plant
    let found: string | undefined
    for (let seed = from; seed < from + WITHIN_SEEDS && found === undefined; seed++) {
      const { violation } = await simulated({ seed, ...(wrapEnv === undefined ? {} : { wrapEnv }) })
      found = violation?.check
    }
    t.type(found, 'string', 'some checker has noticed')
  })
}
