/**
 * Runs after the build in a checkout: puts `sluice` where npx looks first, so that `npx sluice` works here as it does
 * where the package is installed (npm links the executables of dependencies only, not of the package itself).
 */
import { chmodSync, mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const binary = fileURLToPath(new URL('./bin.js', import.meta.url))
const folder = fileURLToPath(new URL('../../node_modules/.bin', import.meta.url))

chmodSync(binary, 0o755)
mkdirSync(folder, { recursive: true })
// Windows has no links that every user may make; there `node dist/cli/bin.js` is the way.
if (process.platform !== 'win32') {
  rmSync(`${folder}/sluice`, { force: true })
  symlinkSync('../../dist/cli/bin.js', `${folder}/sluice`)
}
