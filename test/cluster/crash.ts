/** `npm run crash -- --kills 50 --seed 1`: the crash loop as a program. Ends with one JSON line; exit 1 on a violation. */
import { parseArgs } from 'node:util'
import { crashLoop } from './crash-loop.ts'

const { values } = parseArgs({
  options: { kills: { type: 'string', default: '50' }, seed: { type: 'string', default: '1' } },
})
const result = await crashLoop({
  kills: Number(values.kills),
  seed: Number(values.seed),
  onProgress: line => process.stderr.write(`${line}\n`),
})
for (const violation of result.violations.slice(0, 20)) process.stderr.write(`VIOLATION ${violation}\n`)
console.log(JSON.stringify({ ...result, violations: result.violations.length }))
process.exitCode = result.violations.length > 0 ? 1 : 0
