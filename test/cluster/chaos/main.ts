/** `npm run chaos -- --faults 50 --seed 1`: chaos as a program. Ends with one JSON line; exit 1 on a violation. */
import { parseArgs } from 'node:util'
import { withoutEtcd } from '../../helpers/etcd.ts'
import { FAULT_KINDS } from './faults.ts'
import { chaos } from './run.ts'

const { values } = parseArgs({
  options: {
    faults: { type: 'string', default: '50' },
    seed: { type: 'string', default: '1' },
    'longest-fault-ms': { type: 'string', default: '15000' },
    kinds: { type: 'string', default: FAULT_KINDS.join() },
  },
})
if (withoutEtcd === false) {
  const result = await chaos({
    faults: Number(values.faults),
    seed: Number(values.seed),
    kinds: values.kinds.split(',').map(kind => {
      const known = FAULT_KINDS.find(each => each === kind)
      if (known === undefined) throw new Error(`there is no fault ${kind}, but ${FAULT_KINDS.join()}`)
      return known
    }),
    longestFaultMs: Number(values['longest-fault-ms']),
    onProgress: line => process.stderr.write(`${line}\n`),
  })
  for (const violation of result.violations.slice(0, 20)) process.stderr.write(`VIOLATION ${violation}\n`)
  console.log(JSON.stringify({ ...result, violations: result.violations.length }))
  process.exitCode = result.violations.length > 0 ? 1 : 0
} else {
  console.log(JSON.stringify({ skipped: withoutEtcd }))
}
