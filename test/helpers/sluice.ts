/** The command line as a person meets it: a real process, from the sources. */
import { fileURLToPath } from 'node:url'
import { type Outcome, run } from './foreign.ts'

export const sluiceBinary = fileURLToPath(new URL('../../cli/bin.ts', import.meta.url))

// A profile of whoever runs the tests must not decide about them.
Object.assign(process.env, { SLUICE_CONFIG: '/nonexistent/config.yaml', NO_COLOR: '1' })

/** Runs one command to its end. */
export function sluice(args: readonly string[], input: string | Uint8Array = ''): Promise<Outcome> {
  return run(process.execPath, ['--import=tsx', sluiceBinary, ...args], input)
}

export interface Session {
  sluice(args: readonly string[], input?: string | Uint8Array): Promise<Outcome>
  /** What it prints; rejects when it does not end with code 0. */
  text(args: readonly string[], input?: string | Uint8Array): Promise<string>
  /** What it prints with `-o json`. */
  json<T>(args: readonly string[]): Promise<T>
}

/** Commands against one cluster. */
export function sluiceAt(brokers: string): Session {
  const against = (args: readonly string[], input?: string | Uint8Array): Promise<Outcome> =>
    sluice([...args, '--brokers', brokers], input)
  const text = async (args: readonly string[], input?: string | Uint8Array): Promise<string> => {
    const outcome = await against(args, input)
    if (outcome.code !== 0)
      throw new Error(`sluice ${args.join(' ')} ended with ${outcome.code}: ${outcome.stderr}`)
    return outcome.stdout.toString()
  }
  const json = async <T>(args: readonly string[]): Promise<T> =>
    JSON.parse(await text([...args, '-o', 'json'])) as T
  return { sluice: against, text, json }
}
