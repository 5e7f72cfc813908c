/**
 * Where a setting comes from: a flag, then the environment (SLUICE_*), then the profile, then the default. Profiles
 * stand in one YAML file and are read only when it exists.
 */
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { usageError } from './errors.ts'
import { OUTPUT_FORMATS, type OutputFormat } from './output/present.ts'

export const DEFAULT_BROKERS = '127.0.0.1:9092'

export interface Profile {
  readonly brokers?: string
  readonly clientId?: string
  readonly output?: OutputFormat
  readonly timeout?: string
}

/** The flags that every command has which talks to a cluster. */
export interface ConnectionFlags {
  readonly brokers?: string | undefined
  readonly profile?: string | undefined
  readonly timeout?: string | undefined
  readonly output?: string | undefined
  readonly 'client-id'?: string | undefined
}

export interface Settings {
  readonly brokers: string
  readonly clientId: string
  readonly output: OutputFormat
  /** Null where nothing was said: the command knows what is sensible. */
  readonly timeoutMs: number | null
}

const PROFILE_KEYS = ['brokers', 'clientId', 'output', 'timeout']

export function profileFile(environment: NodeJS.ProcessEnv): string {
  const explicit = environment['SLUICE_CONFIG']
  if (explicit !== undefined && explicit !== '') return explicit
  const folder = environment['XDG_CONFIG_HOME'] ?? join(homedir(), '.config')
  return join(folder, 'sluice', 'config.yaml')
}

/** The profile of this name, or the current one, or an empty one where there is no file. */
async function readProfile(name: string | undefined, environment: NodeJS.ProcessEnv): Promise<Profile> {
  const file = profileFile(environment)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    if (name === undefined) return {}
    throw usageError(`There is no profile ${name}, because there is no file ${file}.`, ...PROFILE_ADVICE)
  }
  const { parse } = await import('yaml')
  const content = parse(text) as { current?: unknown; profiles?: Record<string, unknown> } | null
  const wanted = name ?? (typeof content?.current === 'string' ? content.current : undefined)
  if (wanted === undefined) return {}
  const profiles = content?.profiles ?? {}
  const profile = Object.hasOwn(profiles, wanted) ? profiles[wanted] : undefined
  if (typeof profile !== 'object' || profile === null) {
    const known = Object.keys(profiles).join(', ') || 'none'
    throw usageError(`There is no profile ${wanted} in ${file} (there is: ${known}).`, ...PROFILE_ADVICE)
  }
  const unknown = Object.keys(profile).find(key => !PROFILE_KEYS.includes(key))
  if (unknown !== undefined) {
    throw usageError(
      `Profile ${wanted} in ${file} has a key ${unknown}; known are ${PROFILE_KEYS.join(', ')}.`,
    )
  }
  return profile as Profile
}

const PROFILE_ADVICE = [
  'A profile is written as:',
  '  current: local',
  '  profiles:',
  '    local: { brokers: 127.0.0.1:9092 }',
]

/** Throws CliError for values that make no sense, naming where they came from. */
export async function resolveSettings(
  flags: ConnectionFlags,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Settings> {
  const variable = (name: string): string | undefined => environment[name] || undefined
  const profile = await readProfile(flags.profile ?? variable('SLUICE_PROFILE'), environment)
  const timeout = flags.timeout ?? variable('SLUICE_TIMEOUT') ?? profile.timeout
  const output = flags.output ?? variable('SLUICE_OUTPUT') ?? profile.output ?? 'table'
  if (!isOutputFormat(output)) {
    throw usageError(
      `The output format is ${JSON.stringify(output)}; it can be ${OUTPUT_FORMATS.join(', ')}.`,
    )
  }
  return {
    brokers: flags.brokers ?? variable('SLUICE_BROKERS') ?? profile.brokers ?? DEFAULT_BROKERS,
    clientId: flags['client-id'] ?? variable('SLUICE_CLIENT_ID') ?? profile.clientId ?? 'sluice-cli',
    output,
    timeoutMs: timeout === undefined ? null : parseDuration(timeout),
  }
}

function isOutputFormat(text: string): text is OutputFormat {
  return (OUTPUT_FORMATS as readonly string[]).includes(text)
}

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
}

/** `250ms`, `30s`, `5m`, `2h`, `7d`; a number alone is seconds. In milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text.trim())
  if (match === null)
    throw usageError(`${JSON.stringify(text)} is no duration: write 250ms, 30s, 5m, 2h or 7d.`)
  return Number(match[1]) * DURATION_UNITS[match[2] ?? 's']!
}

const SIZE_UNITS: Readonly<Record<string, number>> = { b: 0, k: 1, m: 2, g: 3, t: 4 }

/** `512`, `64k`, `1m`, `1MiB`, `2GiB`: powers of 1024. In bytes. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([bkmgt])?(?:i?b)?$/i.exec(text.trim())
  if (match === null) throw usageError(`${JSON.stringify(text)} is no size: write 512, 64k, 1m or 2g.`)
  return Math.round(Number(match[1]) * 1024 ** SIZE_UNITS[(match[2] ?? 'b').toLowerCase()]!)
}
