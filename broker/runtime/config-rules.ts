/**
 * What the controller asks about configs, answered from the tables.
 */
import { checkDynamicBrokerConfig, checkTopicConfig } from '../config/broker-config.ts'
import { BROKER_CONFIGS, isBrokerConfig } from '../config/broker-configs.ts'
import { ConfigError } from '../config/definition.ts'
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
