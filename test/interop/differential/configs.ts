/** Configs of topics and brokers: described, altered, and altered wrongly. */
import { API } from '../../../client/protocol/apis.ts'
import { type Scenario, type Script, SHARED_CONFIGS } from './script.ts'

const TOPIC = 2
const BROKER = 4
const SET = 0
const DELETE = 1
const APPEND = 2
const SUBTRACT = 3

const described: Scenario = {
  name: 'configs: described',
  async run(script) {
    const topic = 'configs-described'
    await script.createTopic(topic, 1, { 'retention.ms': '1234', 'cleanup.policy': 'delete' })
    for (const version of script.versions(API.DescribeConfigs)) {
      const ask = (what: string, resources: object[], rest: object = {}) =>
        script.ask(what, API.DescribeConfigs, version, {
          resources: resources.map(resource => ({
            resourceType: TOPIC,
            resourceName: topic,
            configurationKeys: ['retention.ms'],
            ...resource,
          })),
          ...rest,
        } as never)
      await ask('one key', [{}])
      await ask('all that both have', [{ configurationKeys: SHARED_CONFIGS }])
      await ask('with synonyms', [{ configurationKeys: ['retention.ms', 'max.message.bytes'] }], {
        includeSynonyms: true,
      })
      await ask('no keys', [{ configurationKeys: [] }])
      await ask('unknown keys', [{ configurationKeys: ['retention.msec', 'retention.bytes'] }])
      await ask('a key twice', [{ configurationKeys: ['retention.ms', 'retention.ms'] }])
      await ask('a missing topic', [{ resourceName: 'missing' }])
      await ask('an invalid topic', [{ resourceName: 'no/name' }])
      await ask('an empty topic', [{ resourceName: '' }])
      await ask('a topic twice', [{}, {}])
      await ask('no resources', [])
      for (const resourceType of [0, 1, 3, 5, 9, -1])
        await ask(`resource type ${resourceType}`, [{ resourceType }])
      const broker = { resourceType: BROKER, configurationKeys: ['message.max.bytes', 'log.retention.ms'] }
      for (const resourceName of ['1', '', '7', 'x', '-1', ' 1', '1.0']) {
        await ask(`broker ${JSON.stringify(resourceName)}`, [{ ...broker, resourceName }])
      }
      await ask('broker 1, with synonyms', [{ ...broker, resourceName: '1' }], { includeSynonyms: true })
    }
  },
}

const incremental: Scenario = {
  name: 'configs: altered incrementally',
  async run(script) {
    const topic = 'configs-incremental'
    await script.createTopic(topic, 1, { 'retention.ms': '1234' })
    await script.createTopic(`${topic}-settled`)
    for (const version of script.versions(API.IncrementalAlterConfigs)) {
      for (const validateOnly of [true, false]) {
        const ask = (what: string, configs: object[], resource: object = {}) =>
          script.ask(what, API.IncrementalAlterConfigs, version, {
            resources: [{ resourceType: TOPIC, resourceName: topic, configs, ...resource }],
            validateOnly,
          } as never)
        const set = (name: string, value: string | null, configOperation: number = SET) => ({
          name,
          value,
          configOperation,
        })
        await ask('set', [set('retention.ms', '5000')])
        await ask('set to nothing', [set('retention.ms', null)])
        await ask('set to an empty text', [set('retention.ms', '')])
        await ask('set to no number', [set('retention.ms', 'long')])
        await ask('set out of range', [set('retention.ms', '-5')])
        await ask('an unknown config', [set('retention.msec', '5')])
        await ask('an unknown config deleted', [set('retention.msec', null, DELETE)])
        await ask('deleted', [set('retention.ms', null, DELETE)])
        await ask('deleted again', [set('retention.ms', null, DELETE)])
        await ask('deleted with a value', [set('retention.ms', '1', DELETE)])
        await ask('twice', [set('retention.ms', '1'), set('retention.ms', '2')])
        await ask('set and deleted', [set('retention.ms', '1'), set('retention.ms', null, DELETE)])
        await ask('appended to a number', [set('retention.ms', '1', APPEND)])
        await ask('subtracted from a number', [set('retention.ms', '1', SUBTRACT)])
        await ask('appended to a list', [set('cleanup.policy', 'delete', APPEND)])
        await ask('appended wrongly', [set('cleanup.policy', 'keep', APPEND)])
        await ask('subtracted from a list', [set('cleanup.policy', 'keep', SUBTRACT)])
        await ask('appended nothing', [set('cleanup.policy', null, APPEND)])
        await ask('one good, one bad', [set('retention.bytes', '99'), set('segment.ms', '0')])
        await ask('nothing', [])
        await ask('an empty name', [set('', '1')])
        await ask('a missing topic', [set('retention.ms', '1')], { resourceName: 'missing' })
        await ask('an invalid topic', [set('retention.ms', '1')], { resourceName: 'no/name' })
        await ask('an empty topic', [set('retention.ms', '1')], { resourceName: '' })
        await ask('resource type 0', [set('retention.ms', '1')], { resourceType: 0 })
        await ask('resource type 5', [set('retention.ms', '1')], { resourceType: 5 })
        for (const resourceName of ['7', 'x', '-1']) {
          await ask(`broker ${resourceName}`, [set('message.max.bytes', '2000000')], {
            resourceType: BROKER,
            resourceName,
          })
        }
        await ask('broker 1, what never changes', [set('log.dirs', '/tmp')], {
          resourceType: BROKER,
          resourceName: '1',
        })
        await ask('broker 1, unknown', [set('no.such.config', '1')], {
          resourceType: BROKER,
          resourceName: '1',
        })
        await ask('broker 1, no number', [set('message.max.bytes', 'x')], {
          resourceType: BROKER,
          resourceName: '1',
        })
        await script.ask('a resource twice', API.IncrementalAlterConfigs, version, {
          resources: [0, 1].map(() => ({
            resourceType: TOPIC,
            resourceName: topic,
            configs: [set('retention.ms', '7')],
          })),
          validateOnly,
        })
        await script.ask('no resources', API.IncrementalAlterConfigs, version, {
          resources: [],
          validateOnly,
        })
        await after(script, topic)
      }
    }
    const broker = (configOperation: number, value: string | null, resourceName: string) =>
      script.ask(`broker ${resourceName}: ${value}`, API.IncrementalAlterConfigs, 1, {
        resources: [
          {
            resourceType: BROKER,
            resourceName,
            configs: [{ name: 'message.max.bytes', value, configOperation }],
          },
        ],
        validateOnly: false,
      })
    await broker(SET, '1500000', '')
    await broker(SET, '1600000', '1')
    await settled(script, '1600000')
    await script.ask('the broker has it', API.DescribeConfigs, 4, {
      resources: [{ resourceType: BROKER, resourceName: '1', configurationKeys: ['message.max.bytes'] }],
      includeSynonyms: true,
    })
    await broker(DELETE, null, '1')
    await broker(DELETE, null, '')
    await settled(script, '1048588')
  },
}

/** A config of the broker holds a moment after it was set. */
async function settled(script: Script, value: string): Promise<void> {
  for (;;) {
    const { results } = await script.quietly(API.DescribeConfigs, 4, {
      resources: [{ resourceType: BROKER, resourceName: '1', configurationKeys: ['message.max.bytes'] }],
    })
    if (results[0]?.configs[0]?.value === value) return
  }
}

let serial = 0

/**
 * What was changed before is seen when this is: Kafka answers when a change is decided, and its brokers hear of all
 * changes in one order, a moment later.
 */
async function settledAll(script: Script, topic: string): Promise<void> {
  const value = String(1_000_000 + serial++)
  const resource = { resourceType: TOPIC, resourceName: `${topic}-settled` }
  await script.quietly(API.IncrementalAlterConfigs, 1, {
    resources: [{ ...resource, configs: [{ name: 'retention.ms', value, configOperation: SET }] }],
    validateOnly: false,
  })
  for (;;) {
    const { results } = await script.quietly(API.DescribeConfigs, 4, {
      resources: [{ ...resource, configurationKeys: ['retention.ms'] }],
    })
    if (results[0]?.configs[0]?.value === value) return
  }
}

async function after(script: Script, topic: string): Promise<void> {
  await settledAll(script, topic)
  await script.ask('and then', API.DescribeConfigs, 4, {
    resources: [{ resourceType: TOPIC, resourceName: topic, configurationKeys: SHARED_CONFIGS }],
  })
}

const replaced: Scenario = {
  name: 'configs: replaced',
  async run(script) {
    const topic = 'configs-replaced'
    await script.createTopic(topic, 1, { 'retention.ms': '1234', 'segment.ms': '99999' })
    await script.createTopic(`${topic}-settled`)
    for (const version of script.versions(API.AlterConfigs)) {
      for (const validateOnly of [true, false]) {
        const ask = (what: string, configs: object[], resource: object = {}) =>
          script.ask(what, API.AlterConfigs, version, {
            resources: [{ resourceType: TOPIC, resourceName: topic, configs, ...resource }],
            validateOnly,
          } as never)
        await ask('all but one', [{ name: 'retention.ms', value: '5000' }])
        await after(script, topic)
        await ask('a null', [{ name: 'retention.ms', value: null }])
        await ask('no number', [{ name: 'retention.ms', value: 'x' }])
        await ask('unknown', [{ name: 'retention.msec', value: '1' }])
        await ask('twice', [
          { name: 'retention.ms', value: '1' },
          { name: 'retention.ms', value: '2' },
        ])
        await ask('all', [])
        await ask('a missing topic', [], { resourceName: 'missing' })
        await ask('an invalid topic', [], { resourceName: 'no/name' })
        await ask('resource type 0', [], { resourceType: 0 })
        await ask('broker 7', [], { resourceType: BROKER, resourceName: '7' })
        await ask('broker x', [], { resourceType: BROKER, resourceName: 'x' })
        if (version === 2 && validateOnly)
          await script.ask('a resource twice', API.AlterConfigs, version, {
            resources: [0, 1].map(() => ({ resourceType: TOPIC, resourceName: topic, configs: [] })),
            validateOnly,
          })
        await after(script, topic)
      }
    }
  },
}

export const configScenarios = [described, incremental, replaced]
