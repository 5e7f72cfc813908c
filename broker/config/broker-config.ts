/**
 * The configuration of one broker: what was set and where, laid over the defaults, and what follows from it for a
 * topic. Immutable; a change of the dynamic configs makes a new one. It must not read files or the environment
 * (`config.ts` does the merging, `main.ts` the reading), nor act on any value.
 *
 * The layers, the strongest first, as in Kafka: topic, dynamic for this broker, dynamic for all brokers, static
 * (flag, environment, file), default.
 */
import {
  BROKER_CONFIG_ALIASES,
  BROKER_CONFIGS,
  type BrokerConfigName,
  type BrokerConfigValues,
  isBrokerConfig,
} from './broker-configs.ts'
import { ConfigError } from './definition.ts'
import { didYouMean } from './nearest.ts'
import {
  isTopicConfig,
  TOPIC_CONFIG_SYNONYMS,
  TOPIC_CONFIGS,
  type TopicConfigName,
  type TopicConfigValues,
  UNSERVED_TOPIC_CONFIGS,
} from './topic-configs.ts'

/** The numbers are those of DescribeConfigs. */
export const CONFIG_SOURCE = {
  'dynamic-group': 8,
  'dynamic-topic': 1,
  'dynamic-broker': 2,
  'dynamic-default': 3,
  static: 4,
  default: 5,
} as const
export type ConfigSource = keyof typeof CONFIG_SOURCE

/** One place where a config has a value. */
export interface ConfigValue {
  readonly name: string
  readonly text: string | null
  readonly source: ConfigSource
}

export type ConfigTexts = ReadonlyMap<string, string>
const NONE: ConfigTexts = new Map()

export class BrokerConfig {
  /** What holds now, typed. */
  readonly values: BrokerConfigValues
  readonly #static: ConfigTexts
  readonly #dynamicBroker: ConfigTexts
  readonly #dynamicDefault: ConfigTexts

  private constructor(fixed: ConfigTexts, dynamicBroker: ConfigTexts, dynamicDefault: ConfigTexts) {
    this.#static = fixed
    this.#dynamicBroker = dynamicBroker
    this.#dynamicDefault = dynamicDefault
    const values: Record<string, unknown> = {}
    const problems: ConfigError[] = []
    for (const [name, definition] of Object.entries(BROKER_CONFIGS)) {
      const text = this.#texts(name)[0]?.text ?? definition.defaultText
      try {
        values[name] = text === null ? null : definition.parse(name, text)
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        problems.push(error)
      }
    }
    if (problems.length > 0)
      throw new ConfigError(problems[0]!.key, problems.map(problem => problem.message).join('\n'))
    this.values = values as BrokerConfigValues
  }

  /**
   * From names and texts as they would stand in a file. Throws ConfigError where a name is unknown or a value cannot be
   * (all of them in one message).
   */
  static of(settings: Readonly<Record<string, string | number | boolean>> = {}): BrokerConfig {
    const texts = new Map<string, string>()
    for (const [given, value] of Object.entries(settings)) {
      const name = Object.hasOwn(BROKER_CONFIG_ALIASES, given) ? BROKER_CONFIG_ALIASES[given]! : given
      if (!isBrokerConfig(name)) throw new ConfigError(given, unknownBrokerConfig(given))
      texts.set(name, String(value))
    }
    return new BrokerConfig(texts, NONE, NONE)
  }

  /** The same static configs under other dynamic ones. Throws ConfigError. */
  withDynamic(forThisBroker: ConfigTexts, forAllBrokers: ConfigTexts): BrokerConfig {
    return new BrokerConfig(this.#static, forThisBroker, forAllBrokers)
  }

  /** Where the config has a value, the strongest first; the default is always the last. */
  layers(name: BrokerConfigName): ConfigValue[] {
    return [...this.#texts(name), { name, text: BROKER_CONFIGS[name].defaultText, source: 'default' }]
  }

  /** What a topic with these configs of its own lives by. The texts must have passed `checkTopicConfig`. */
  topic(overrides: ConfigTexts): TopicConfigValues {
    const values: Record<string, unknown> = {}
    for (const name of Object.keys(TOPIC_CONFIGS) as TopicConfigName[]) {
      values[name] = TOPIC_CONFIGS[name].parse(name, this.topicLayers(name, overrides)[0]!.text!)
    }
    return values as TopicConfigValues
  }

  /**
   * Where a topic's config has a value, the strongest first. The texts are in the unit of the topic config where it is
   * the one that holds, and as they were set further down (so `log.retention.hours` is told in hours).
   */
  topicLayers(name: TopicConfigName, overrides: ConfigTexts): ConfigValue[] {
    const layers: ConfigValue[] = []
    const own = overrides.get(name)
    if (own !== undefined) layers.push({ name, text: own, source: 'dynamic-topic' })
    const synonyms = TOPIC_CONFIG_SYNONYMS[name]
    for (const [source, texts] of [
      ['dynamic-broker', this.#dynamicBroker],
      ['dynamic-default', this.#dynamicDefault],
      ['static', this.#static],
    ] as const) {
      for (const synonym of synonyms) {
        const text = texts.get(synonym.name)
        if (text !== undefined) layers.push({ name: synonym.name, text: scaled(text, synonym.scale), source })
      }
    }
    layers.push({ name: synonyms[0]?.name ?? name, text: TOPIC_CONFIGS[name].defaultText, source: 'default' })
    return layers
  }

  #texts(name: string): ConfigValue[] {
    const layers: ConfigValue[] = []
    for (const [source, texts] of [
      ['dynamic-broker', this.#dynamicBroker],
      ['dynamic-default', this.#dynamicDefault],
      ['static', this.#static],
    ] as const) {
      const text = texts.get(name)
      if (text !== undefined) layers.push({ name, text, source })
    }
    return layers
  }
}

/** Hours and minutes become milliseconds; -1 stays -1, since it means "no limit" in every unit. */
function scaled(text: string, scale: number): string {
  if (scale === 1) return text
  const value = Number(text)
  return value < 0 ? '-1' : String(value * scale)
}

export function unknownBrokerConfig(name: string): string {
  return `Unknown broker config name: ${name}${didYouMean(name, [...Object.keys(BROKER_CONFIGS), ...Object.keys(BROKER_CONFIG_ALIASES)])}`
}

/** Throws ConfigError, with a reason that can be shown, unless the topic config is known and the value can be. */
export function checkTopicConfig(name: string, text: string): void {
  if (isTopicConfig(name)) {
    TOPIC_CONFIGS[name].parse(name, text)
    return
  }
  if (Object.hasOwn(UNSERVED_TOPIC_CONFIGS, name)) {
    throw new ConfigError(
      name,
      `Topic config ${name} is refused because it would be ignored: ${UNSERVED_TOPIC_CONFIGS[name]}`,
    )
  }
  throw new ConfigError(
    name,
    `Unknown topic config name: ${name}${didYouMean(name, Object.keys(TOPIC_CONFIGS))}`,
  )
}

/** Throws ConfigError unless the broker config can be changed while the broker runs, to this value. */
export function checkDynamicBrokerConfig(name: string, text: string): void {
  if (!isBrokerConfig(name)) throw new ConfigError(name, unknownBrokerConfig(name))
  if (BROKER_CONFIGS[name].update === 'read-only') {
    throw new ConfigError(
      name,
      `Cannot update ${name} dynamically: it takes effect at start. Set it in the broker's properties file, or as a flag, and restart.`,
    )
  }
  BROKER_CONFIGS[name].parse(name, text)
}
