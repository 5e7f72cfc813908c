/**
 * Runs one command line: hands it to oclif, and sees to it that whatever is thrown outside a command (an unknown
 * command, a bug) is told like every other error. Ends the process when its output is written.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { run as runOclif } from '@oclif/core/run'
import { ExitCode, renderError, toCliError } from './errors.ts'
import { paint } from './terminal.ts'

function isUnknownCommand(error: unknown): boolean {
  return error instanceof Error && /^command .* not found$/.test(error.message)
}

function exitCodeOf(error: unknown): number | null {
  const code = (error as { oclif?: { exit?: unknown } } | null)?.oclif?.exit
  return typeof code === 'number' ? code : null
}

/** The built commands are named in package.json; run from the sources, the sources' own are meant. */
function loadOptions(moduleUrl: string): string | object {
  if (moduleUrl.endsWith('.js')) return moduleUrl
  const root = fileURLToPath(new URL('..', moduleUrl))
  const manifest = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as { oclif: object }
  const commands = { strategy: 'explicit', target: './cli/commands.ts', identifier: 'COMMANDS' }
  return { root, pjson: { ...manifest, oclif: { ...manifest.oclif, commands } } }
}

/** `moduleUrl` is that of the executable. */
export async function runCli(argv: string[], moduleUrl: string): Promise<void> {
  try {
    await runOclif(argv, loadOptions(moduleUrl) as Parameters<typeof runOclif>[1])
  } catch (error) {
    process.exitCode = report(error)
  }
  await new Promise<void>(resolve => process.stdout.write('', () => resolve()))
  process.exit(process.exitCode ?? ExitCode.OK)
}

function report(error: unknown): number {
  // oclif ends a command that has nothing more to say (as --help has) with this.
  if ((error as { code?: unknown } | null)?.code === 'EEXIT') return exitCodeOf(error) ?? ExitCode.OK
  const explained = toCliError(error, '')
  if (explained !== null) {
    process.stderr.write(renderError(explained, text => paint(process.stderr, 'red', text)))
    return isUnknownCommand(error) ? ExitCode.USAGE : explained.exitCode
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  process.stderr.write(
    `${paint(process.stderr, 'red', 'bug:')} ${stack}\n\n  This should not happen. Please report it with the command that you ran.\n`,
  )
  return ExitCode.FAILED
}
