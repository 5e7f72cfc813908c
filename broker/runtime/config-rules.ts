/**
 * What the controller asks about configs, answered from the tables.
 */
import { checkDynamicBrokerConfig, checkTopicConfig } from '../config/broker-config.ts'
import { BROKER_CONFIGS, type BrokerConfigValues, isBrokerConfig } from '../config/broker-configs.ts'
import { ConfigError } from '../config/definition.ts'
import {
  CONFIGS_OF_GROUPS,
  GROUP_CONFIG_BASES,
  type GroupConfigName,
  isGroupConfig,
} from '../config/group-configs.ts'
import { didYouMean } from '../config/nearest.ts'
import { isTopicConfig, TOPIC_CONFIGS } from '../config/topic-configs.ts'
import { type ConfigRules } from '../controller/configs.ts'

function problemOf(
  check: (name: string, text: string) => void,
): (name: string, text: string) => string | null {
  return (name, text) => {
    try {
      check(name, text)
      return null
    } catch (error) {
      if (error instanceof ConfigError) return error.message
      throw error
    }
  }
}

/** Why a value is refused, or null. */
export const configProblem = {
  topic: problemOf(checkTopicConfig),
  broker: problemOf(checkDynamicBrokerConfig),
}

export const TOPIC_CONFIG_RULES: ConfigRules = {
  problem: configProblem.topic,
  isList: name => isTopicConfig(name) && TOPIC_CONFIGS[name].type === 'list',
  fallback: name => (isTopicConfig(name) ? (TOPIC_CONFIGS[name].defaultText ?? '') : ''),
}

export const BROKER_CONFIG_RULES: ConfigRules = {
  problem: configProblem.broker,
  isList: name => isBrokerConfig(name) && BROKER_CONFIGS[name].type === 'list',
  fallback: name => (isBrokerConfig(name) ? (BROKER_CONFIGS[name].defaultText ?? '') : ''),
}

/** What groups may set depends on what their broker allows. */
export function groupConfigRules(values: BrokerConfigValues): ConfigRules {
  return {
    problem: problemOf((name, text) => checkGroupConfig(name, text, values)),
    isList: () => false,
    fallback: name => (isGroupConfig(name) ? String(values[GROUP_CONFIG_BASES[name].fallback]) : ''),
  }
}

function checkGroupConfig(name: string, text: string, values: BrokerConfigValues): void {
  if (!isGroupConfig(name)) {
    const known = didYouMean(name, Object.keys(CONFIGS_OF_GROUPS))
    throw new ConfigError(name, `Unknown group config name: ${name}${known}`)
  }
  const value = CONFIGS_OF_GROUPS[name].parse(name, text)
  const { min, max } = GROUP_CONFIG_BASES[name]
  if (value < values[min]) {
    throw new ConfigError(name, `${name} must be greater than or equal to ${min} (${values[min]})`)
  }
  if (value > values[max]) {
    throw new ConfigError(name, `${name} must be less than or equal to ${max} (${values[max]})`)
  }
}

/** Why the configs of a group do not go together, or null. Each for itself must be fine. */
export function groupConfigsProblem(
  configs: Readonly<Record<string, string>>,
  values: BrokerConfigValues,
): string | null {
  const inForce = (name: GroupConfigName): number =>
    Number(configs[name] ?? values[GROUP_CONFIG_BASES[name].fallback])
  return inForce('consumer.session.timeout.ms') > inForce('consumer.heartbeat.interval.ms')
    ? null
    : 'consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms'
}
