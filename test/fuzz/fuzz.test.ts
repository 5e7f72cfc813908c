/**
 * A few seconds of the fuzzer with fixed seeds. `npm run fuzz -- --seconds N` goes on from here.
 */
import t, { type Test } from 'tap'
import { processTarget } from './process-target.ts'
import { replayCommand, runCase } from './runner.ts'
import { type Target } from './target.ts'
import { TARGETS } from './targets.ts'

const SEED = 20_261
const BUDGET_MS = 2500
const MOST_CASES = 40

async function fuzz(t: Test, target: Target): Promise<void> {
  const startedMs = performance.now()
  let inputs = 0
  for (let index = 0; index < MOST_CASES && performance.now() - startedMs < BUDGET_MS; index++) {
    const { finding, inputs: seen } = await runCase(target, SEED, index)
    inputs += seen
    if (finding !== null)
      t.fail(`${finding.kind}: ${finding.detail}\n${replayCommand(SEED, finding)}\n${finding.hex}`)
  }
  t.ok(inputs > 0, `${inputs} inputs`)
}

for (const target of TARGETS) t.test(`the ${target.name} withstands hostile input`, t => fuzz(t, target))

t.teardown(() => processTarget.close?.())
