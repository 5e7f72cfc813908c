/**
 * Runs the test suite on every supported major version of Node, one after another: `npm run test:nodes`, or
 * `npm run test:nodes -- 22` for one of them. The versions come from the `node` package by npx.
 */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const versions = process.argv.slice(2).filter(argument => /^\d+$/.test(argument))
const results: string[] = []
let failed = false
for (const version of versions.length > 0 ? versions : ['20', '22', '24']) {
  console.log(`\n--- Node ${version}`)
  const { status } = spawnSync(
    'npx',
    [
      '--yes',
      '--package',
      `node@${version}`,
      '--call',
      'node --version && node node_modules/tap/dist/esm/run.mjs build && node node_modules/tap/dist/esm/run.mjs --reporter=terse',
    ],
    { cwd: root, stdio: 'inherit', env: { ...process.env, TAP_CHILD_ID: undefined } },
  )
  failed ||= status !== 0
  results.push(`Node ${version}: ${status === 0 ? 'passed' : 'FAILED'}`)
}
console.log(`\n${results.join('\n')}`)
process.exitCode = failed ? 1 : 0
