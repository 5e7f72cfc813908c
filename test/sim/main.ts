/**
 * `npm run -s sim -- --from SEED --seeds N`: runs seeds one after the other and ends with one line of JSON. The
 * first violation ends it with code 1, and with the command that plays it again.
 */
import { parseArgs } from 'node:util'
import { type Plant } from './gardening.ts'
import { PLANTS } from './plants.ts'
import { type SimulationResult, simulate } from './simulation.ts'

const { values } = parseArgs({
  options: {
    from: { type: 'string', default: '1' },
    seeds: { type: 'string', default: '100' },
    trace: { type: 'boolean', default: false },
    plant: { type: 'string' },
    'list-plants': { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
})

const PROGRESS_EVERY_MS = 5000
/** One seed in so many is run twice, and must be the same. */
const TWICE_EVERY = 100

// The simulation drains promise jobs by itself, which works from a task and not from within a job.
setImmediate(() => {
  process.exitCode = run()
})

function run(): number {
  if (values['list-plants']) {
    for (const { name } of PLANTS) console.log(name)
    return 0
  }
  const from = Number(values.from)
  const count = Number(values.seeds)
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(count) || count < 1) {
    console.error('--from and --seeds are whole numbers, --seeds at least 1')
    return 2
  }
  if (values.plant === undefined) return sweep(from, count)
  const plant = PLANTS.find(({ name }) => name === values.plant)
  if (plant === undefined) {
    console.error(`there is no plant ${values.plant}: see --list-plants`)
    return 2
  }
  return hunt(plant, from, count)
}

function play(seed: number, plant?: Plant): SimulationResult {
  const uproot = plant?.plant?.() ?? (() => {})
  try {
    return simulate({
      seed,
      ...(values.trace ? { trace: (line: string) => void process.stderr.write(`${line}\n`) } : {}),
      ...(plant?.wrapEnv === undefined ? {} : { wrapEnv: plant.wrapEnv }),
      ...(plant?.wrapStore === undefined ? {} : { wrapStore: plant.wrapStore }),
    })
  } finally {
    uproot()
  }
}

function sweep(from: number, count: number): number {
  const startedMs = performance.now()
  let toldMs = startedMs
  let events = 0
  let trace = 0
  let violations = 0
  let seeds = 0
  const simulated = { ms: 0, acked: 0, read: 0 }
  for (let seed = from; seed < from + count; seed++) {
    const result = play(seed)
    seeds++
    events += result.events
    simulated.ms += result.simulatedMs
    simulated.acked += result.recordsAcked
    simulated.read += result.recordsRead
    trace = Math.imul(trace ^ Number.parseInt(result.hash.slice(8), 16), 0x01000193) ^ seed
    let problem = result.violation === null ? null : `${result.violation.check}: ${result.violation.message}`
    if (problem === null && seed % TWICE_EVERY === 0 && play(seed).hash !== result.hash)
      problem = 'nondeterministic: the same seed gave another trace'
    if (problem !== null) {
      violations++
      console.error(`seed ${seed}: ${problem}\n  npm run -s sim -- --from ${seed} --seeds 1 --trace`)
      if (!values.keep) break
    }
    if (performance.now() - toldMs >= PROGRESS_EVERY_MS) {
      toldMs = performance.now()
      const perMinute = (seeds / (toldMs - startedMs)) * 60_000
      console.error(`${seeds} of ${count} seeds, ${perMinute.toFixed(0)} a minute, ${violations} violations`)
    }
  }
  const minutes = (performance.now() - startedMs) / 60_000
  console.log(
    JSON.stringify({
      seeds,
      violations,
      events,
      seedsPerMinute: Math.round(seeds / minutes),
      simulatedMinutesPerSeed: Math.round(simulated.ms / seeds / 6000) / 10,
      recordsAcked: simulated.acked,
      recordsRead: simulated.read,
      trace: (trace >>> 0).toString(16).padStart(8, '0'),
    }),
  )
  return violations === 0 ? 0 : 1
}

function hunt(plant: Plant, from: number, count: number): number {
  for (let seed = from; seed < from + count; seed++) {
    const { violation } = play(seed, plant)
    if (violation === null) continue
    console.error(`seed ${seed}: ${violation.check}: ${violation.message}`)
    console.log(JSON.stringify({ plant: plant.name, found: true, seed, check: violation.check }))
    return 0
  }
  console.log(JSON.stringify({ plant: plant.name, found: false, seed: null }))
  return 1
}
