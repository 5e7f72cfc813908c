/**
 * The configs of topics that elections depend on, read for the controller. Remembered for as long as neither the
 * topic's configs nor the broker's change: with thousands of topics to look at, reading them anew would be most of the
 * work.
 */
import { type BrokerConfig } from '../config/broker-config.ts'
import { TOPIC_CONFIGS } from '../config/topic-configs.ts'
import { type PolicyOf, type TopicPolicy } from '../controller/brokers.ts'

export function topicPolicies(config: () => BrokerConfig): PolicyOf {
  let current = config()
  let known = new WeakMap<ReadonlyMap<string, string>, TopicPolicy>()
  return ({ configs }) => {
    const now = config()
    if (now !== current) {
      current = now
      known = new WeakMap()
    }
    let policy = known.get(configs)
    if (policy === undefined) {
      policy = read(now, configs)
      known.set(configs, policy)
    }
    return policy
  }
}

function read(config: BrokerConfig, configs: ReadonlyMap<string, string>): TopicPolicy {
  const minInsync = 'min.insync.replicas'
  const unclean = 'unclean.leader.election.enable'
  return {
    minInsyncReplicas: TOPIC_CONFIGS[minInsync].parse(
      minInsync,
      config.topicLayers(minInsync, configs)[0]!.text!,
    ),
    uncleanElection: TOPIC_CONFIGS[unclean].parse(unclean, config.topicLayers(unclean, configs)[0]!.text!),
  }
}
