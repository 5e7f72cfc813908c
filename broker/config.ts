/**
 * Merges the sources of a broker's static configuration: flag over environment over file over default. It is given
 * their contents and reads nothing itself.
 *
 * An unknown name in a file is warned about with the name that was probably meant, and does not stop the broker: Kafka
 * does the same, and files are shared between brokers and clients. A flag is typed by hand, so an unknown one is
 * refused.
 */
import { BrokerConfig, unknownBrokerConfig } from './config/broker-config.ts'
import {
  BROKER_CONFIG_ALIASES,
  BROKER_CONFIGS,
  type BrokerConfigName,
  isBrokerConfig,
  UNUSED_BROKER_CONFIGS,
} from './config/broker-configs.ts'
import { etcdAccessOf } from './config/cluster.ts'
import { ConfigError } from './config/definition.ts'
import { listenersOf } from './config/listeners.ts'
import { editDistance } from './config/nearest.ts'
import { parseProperties } from './config/properties.ts'

export interface ConfigInput {
  readonly file?: { readonly path: string; readonly text: string } | undefined
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined
  /** Names and values as they would stand in a file. */
  readonly flags?: Readonly<Record<string, string>> | undefined
}

export interface LoadedConfig {
  readonly config: BrokerConfig
  /** One sentence each, for people: names that nothing acts on. */
  readonly warnings: readonly string[]
}

/** Throws ConfigError where a value cannot be, with all that is wrong in one message. */
export function loadConfig(input: ConfigInput): LoadedConfig {
  const warnings: string[] = []
  const settings = new Map<BrokerConfigName, string>()
  if (input.file !== undefined) readFile(input.file, settings, warnings)
  readEnvironment(input.environment ?? {}, settings, warnings)
  for (const [given, value] of Object.entries(input.flags ?? {})) {
    const name = canonical(given)
    if (name === null) throw new ConfigError(given, unknownBrokerConfig(given))
    settings.set(name, value)
  }
  const config = BrokerConfig.of(Object.fromEntries(settings))
  checkTogether(config)
  return { config, warnings }
}

/** What no single value shows. Throws ConfigError. */
export function checkTogether(config: BrokerConfig): void {
  listenersOf(config.values)
  etcdAccessOf(config.values)
  const folders = config.values['log.dirs']
  if (folders.length > 1) {
    throw new ConfigError(
      'log.dirs',
      `log.dirs names ${folders.length} folders (${folders.join(', ')}), and one is served: name one, and join disks below it (RAID, LVM) where one is too small`,
    )
  }
}

function canonical(name: string): BrokerConfigName | null {
  if (isBrokerConfig(name)) return name
  return Object.hasOwn(BROKER_CONFIG_ALIASES, name) ? BROKER_CONFIG_ALIASES[name]! : null
}

function readFile(
  file: { path: string; text: string },
  settings: Map<BrokerConfigName, string>,
  warnings: string[],
): void {
  const given = new Map<string, string>()
  for (const { key, value, line } of parseProperties(file.text)) {
    const name = canonical(key)
    if (name === null) {
      const known = UNUSED_BROKER_CONFIGS.includes(key)
      const what = known ? `${key} is a config of Kafka that has no use in Sluice` : unknownBrokerConfig(key)
      warnings.push(`${file.path}:${line}: ${what}; it is ignored.`)
      continue
    }
    // The old and the new name may both be there; they must then agree, because nothing says which was meant.
    const other = settings.get(name)
    if (other !== undefined && given.get(name) !== key && other.trim() !== value.trim()) {
      throw new ConfigError(
        key,
        `${file.path}:${line}: ${given.get(name)}=${other} and ${key}=${value} say different things; keep one`,
      )
    }
    given.set(name, key)
    settings.set(name, value)
  }
}

const PREFIXES = ['KAFKA_', 'SLUICE_'] as const

/** `KAFKA_LOG_RETENTION_MS` is log.retention.ms. SLUICE_ wins over KAFKA_. */
function readEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  settings: Map<BrokerConfigName, string>,
  warnings: string[],
): void {
  const names = [...Object.keys(BROKER_CONFIG_ALIASES), ...Object.keys(BROKER_CONFIGS)]
  const known = new Map(names.map(name => [name.replaceAll('.', '_').toUpperCase(), canonical(name)!]))
  for (const prefix of PREFIXES) {
    for (const [variable, value] of Object.entries(environment)) {
      if (!variable.startsWith(prefix) || value === undefined) continue
      const suffix = variable.slice(prefix.length)
      const name = known.get(suffix)
      if (name !== undefined) {
        settings.set(name, value)
        continue
      }
      // Many variables begin like this and are not configs (KAFKA_HEAP_OPTS): only a near miss is worth a word.
      const meant = [...known.keys()].find(candidate => editDistance(suffix, candidate, 2) <= 2)
      if (meant !== undefined)
        warnings.push(
          `Environment variable ${variable} is not known (did you mean ${prefix}${meant}?); it is ignored.`,
        )
    }
  }
}
