import t from 'tap'
import {
  BrokerConfig,
  checkDynamicBrokerConfig,
  checkTopicConfig,
} from '../../../broker/config/broker-config.ts'
import { BROKER_CONFIGS } from '../../../broker/config/broker-configs.ts'
import { nearest } from '../../../broker/config/nearest.ts'
import {
  TOPIC_CONFIG_SYNONYMS,
  TOPIC_CONFIGS,
  type TopicConfigName,
} from '../../../broker/config/topic-configs.ts'

const NONE = new Map<string, string>()

t.test('the defaults of topics and of brokers agree, through their synonyms', t => {
  const config = BrokerConfig.of()
  for (const name of Object.keys(TOPIC_CONFIGS) as TopicConfigName[]) {
    const synonyms = TOPIC_CONFIG_SYNONYMS[name]
    const set = synonyms.find(
      synonym => BROKER_CONFIGS[synonym.name as keyof typeof BROKER_CONFIGS].defaultText !== null,
    )
    for (const { name: synonym } of synonyms) t.ok(synonym in BROKER_CONFIGS, `${synonym} is a broker config`)
    if (set === undefined) continue
    const text = BROKER_CONFIGS[set.name as keyof typeof BROKER_CONFIGS].defaultText
    const own = TOPIC_CONFIGS[name].defaultText
    t.equal(set.scale === 1 ? text : String(Number(text) * set.scale), own, name)
  }
  t.ok(config.topic(NONE)['flush.messages'] === Number.MAX_SAFE_INTEGER)
  t.equal(config.topicLayers('flush.messages', NONE)[0]?.text, '9223372036854775807')
  t.end()
})

t.test('a topic falls back to ms, then minutes, then hours', t => {
  const retention = (settings: Record<string, string>): number =>
    BrokerConfig.of(settings).topic(NONE)['retention.ms']
  t.equal(retention({}), 604_800_000)
  t.equal(retention({ 'log.retention.hours': '1' }), 3_600_000)
  t.equal(retention({ 'log.retention.hours': '1', 'log.retention.minutes': '2' }), 120_000)
  t.equal(retention({ 'log.retention.hours': '1', 'log.retention.minutes': '2', 'log.retention.ms': '3' }), 3)
  t.equal(retention({ 'log.retention.hours': '-1' }), -1)
  t.end()
})

t.test('a topic, then this broker, then all brokers, then the file, then the default', t => {
  const fixed = BrokerConfig.of({ 'log.retention.ms': 4 })
  const own = new Map([['log.retention.ms', '2']])
  const all = new Map([['log.retention.ms', '3']])
  const layers = fixed.withDynamic(own, all).topicLayers('retention.ms', new Map([['retention.ms', '1']]))
  t.same(
    layers.map(({ text, source }) => [text, source]),
    [
      ['1', 'dynamic-topic'],
      ['2', 'dynamic-broker'],
      ['3', 'dynamic-default'],
      ['4', 'static'],
      ['604800000', 'default'],
    ],
  )
  t.equal(fixed.withDynamic(NONE, all).values['log.retention.ms'], 3)
  t.equal(fixed.values['log.retention.ms'], 4, 'the old one stays as it was')
  t.end()
})

t.test('topic configs are refused by name, with what was meant or why', t => {
  const refused = (name: string, text: string, message: string | RegExp): void => {
    t.throws(() => checkTopicConfig(name, text), { name: 'ConfigError', message })
  }
  refused('retention.msec', '1', 'Unknown topic config name: retention.msec (did you mean retention.ms?)')
  refused('__proto__', '1', /^Unknown topic config name: __proto__/)
  refused('cleanup.policy', 'shred', /String must be one of: delete, compact/)
  refused('cleanup.policy', 'compact,compact', /an item twice/)
  refused('min.cleanable.dirty.ratio', '1.5', /Value must be no more than 1/)
  refused('min.cleanable.dirty.ratio', 'half', /Not a number of type DOUBLE/)
  refused('compression.type', 'zstd', /batches are stored as the producer compressed them/)
  refused('local.retention.ms', '1', /refused because it would be ignored: tiered storage/)
  refused('retention.ms', '-2', 'Invalid value -2 for configuration retention.ms: Value must be at least -1')
  refused('retention.ms', '1h', 'Invalid value 1h for configuration retention.ms: Not a number of type LONG')
  refused('max.message.bytes', '2147483648', /Not a number of type INT/)
  refused('preallocate', 'yes', /either true or false/)
  const throttled = 'leader.replication.throttled.replicas'
  for (const wrong of ['0', '0:1,*', '0:1;1:1', 'a:1']) {
    refused(throttled, wrong, /must be the literal '\*' or a list of replicas in the following format/)
  }
  for (const right of ['', '*', '0:1', '0:1, 12:3,0:2']) checkTopicConfig(throttled, right)
  checkTopicConfig('retention.ms', ' 5 ')
  t.end()
})

t.test('broker configs that take effect at start cannot be changed while it runs', t => {
  t.throws(() => checkDynamicBrokerConfig('num.partitions', '3'), {
    message: /Cannot update num\.partitions dynamically/,
  })
  checkDynamicBrokerConfig('log.retention.ms', '3')
  t.end()
})

t.test('the nearest name is found within a third of the letters', t => {
  const names = ['retention.ms', 'retention.bytes', 'segment.ms']
  t.equal(nearest('retentoin.ms', names), 'retention.ms')
  t.equal(nearest('RETENTION.BYTES', names), 'retention.bytes')
  t.equal(nearest('colour', names), null)
  t.end()
})

t.test('every config explains itself in sentences', t => {
  for (const { name, doc } of [...Object.values(TOPIC_CONFIGS), ...Object.values(BROKER_CONFIGS)]) {
    t.match(doc, /^[A-Z].*\.$/, name)
  }
  t.end()
})
