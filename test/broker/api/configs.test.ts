import t, { type Test } from 'tap'
import { API } from '../../../client/protocol/apis.ts'
import { errorName } from '../../../client/protocol/errors.ts'
import { TestBroker } from './test-broker.ts'

const TOPIC = 2
const BROKER = 4
const [SET, DELETE, APPEND] = [0, 1, 2]

async function start(t: Test, settings = {}): Promise<TestBroker> {
  const test = await TestBroker.start({ settings })
  t.teardown(() => test.stop())
  return test
}

async function describe(
  test: TestBroker,
  resourceType: number,
  resourceName: string,
  keys: string[] | null = null,
) {
  const { results } = await test.client.request(API.DescribeConfigs, 4, {
    resources: [{ resourceType, resourceName, configurationKeys: keys }],
    includeSynonyms: true,
    includeDocumentation: true,
  })
  return results[0]!
}

async function configOf(
  test: TestBroker,
  resourceType: number,
  resourceName: string,
  name: string,
): Promise<unknown> {
  const { configs } = await describe(test, resourceType, resourceName, [name])
  return configs[0]?.value
}

type Edit = [name: string, configOperation: number | undefined, value: string | null]

async function edit(
  test: TestBroker,
  resourceType: number,
  resourceName: string,
  edits: Edit[],
  validateOnly = false,
) {
  const configs = edits.map(([name, configOperation = 0, value]) => ({ name, configOperation, value }))
  const { responses } = await test.client.request(API.IncrementalAlterConfigs, 1, {
    resources: [{ resourceType, resourceName, configs }],
    validateOnly,
  })
  return errorName(responses[0]!.errorCode)
}

t.test('a topic tells every config with type, source, synonyms and meaning', async t => {
  const test = await start(t, { 'log.retention.hours': 2 })
  await test.createTopic('a', 1, { 'segment.bytes': '2000000' })
  const { errorCode, configs } = await describe(test, TOPIC, 'a')
  t.equal(errorCode, 0)
  const of = (name: string) => configs.find(config => config.name === name)
  t.match(of('segment.bytes'), { value: '2000000', configSource: 1, configType: 3, readOnly: false })
  t.match(of('segment.bytes')?.synonyms, [
    { name: 'segment.bytes', value: '2000000', source: 1 },
    { name: 'log.segment.bytes', value: '1073741824', source: 5 },
  ])
  t.match(of('retention.ms'), { value: '7200000', configSource: 4, configType: 5 })
  t.match(of('cleanup.policy'), { value: 'delete', configSource: 5, configType: 7 })
  t.match(of('preallocate'), { value: 'false', configType: 1 })
  t.match(of('flush.messages'), { value: '9223372036854775807' })
  for (const { documentation } of configs) t.match(documentation, /\.$/)
  t.equal((await describe(test, TOPIC, 'none')).errorCode, 3)
  t.equal((await describe(test, TOPIC, 'no name')).errorCode, 17)
  t.same(
    (await describe(test, TOPIC, 'a', ['retention.ms'])).configs.map(config => config.name),
    ['retention.ms'],
  )
})

t.test('a broker tells its own configs and those of no other', async t => {
  const test = await start(t, { 'num.partitions': 5 })
  const { configs } = await describe(test, BROKER, '1')
  const of = (name: string) => configs.find(config => config.name === name)
  t.match(of('num.partitions'), { value: '5', configSource: 4, readOnly: true })
  t.match(of('log.retention.ms'), { value: null, configSource: 5, readOnly: false, synonyms: [] })
  t.equal(errorName((await describe(test, BROKER, '2')).errorCode), 'INVALID_REQUEST')
  t.equal(errorName((await describe(test, 99, 'x')).errorCode), 'INVALID_REQUEST')
})

t.test('single configs are set, deleted, and hold at once', async t => {
  const test = await start(t)
  await test.createTopic('a')
  t.equal(
    await edit(test, TOPIC, 'a', [
      ['max.message.bytes', SET, '100'],
      ['retention.ms', SET, '5'],
    ]),
    'NONE',
  )
  t.equal(await test.produce('a', 0, ['x'.repeat(200)]), -10, 'MESSAGE_TOO_LARGE')
  t.equal(await edit(test, TOPIC, 'a', [['max.message.bytes', DELETE, null]]), 'NONE')
  t.equal(await test.produce('a', 0, ['x'.repeat(200)]), 0)
  t.equal(await configOf(test, TOPIC, 'a', 'retention.ms'), '5')
  t.equal(await edit(test, TOPIC, 'a', [['cleanup.policy', APPEND, 'delete']]), 'NONE')
  t.equal(await edit(test, TOPIC, 'a', [['cleanup.policy', APPEND, 'compact']]), 'NONE')
  t.equal(await configOf(test, TOPIC, 'a', 'cleanup.policy'), 'delete,compact')
  t.equal(await edit(test, TOPIC, 'a', [['cleanup.policy', APPEND, 'shred']]), 'INVALID_CONFIG')
  t.equal(await edit(test, TOPIC, 'a', [['retention.ms', APPEND, '5']]), 'INVALID_CONFIG')
  t.equal(await edit(test, TOPIC, 'a', [['no.such', SET, '5']]), 'INVALID_CONFIG')
  t.equal(await edit(test, TOPIC, 'a', [['retention.ms', 9, '5']]), 'INVALID_REQUEST')
  t.equal(await edit(test, TOPIC, 'a', [['retention.ms', SET, null]]), 'INVALID_REQUEST')
  t.equal(await edit(test, TOPIC, 'none', [['retention.ms', SET, '5']]), 'UNKNOWN_TOPIC_OR_PARTITION')
  t.equal(await edit(test, TOPIC, '', [['retention.ms', SET, '5']]), 'INVALID_REQUEST')
  t.equal(await edit(test, TOPIC, 'a', [['retention.ms', SET, '6']], true), 'NONE')
  t.equal(await configOf(test, TOPIC, 'a', 'retention.ms'), '5', 'only validated')
})

t.test('a replacement sets what it names and lets go of the rest', async t => {
  const test = await start(t)
  await test.createTopic('a', 1, { 'retention.ms': '5' })
  const replace = async (configs: { name: string; value: string | null }[]) => {
    const { responses } = await test.client.request(API.AlterConfigs, 2, {
      resources: [{ resourceType: TOPIC, resourceName: 'a', configs }],
      validateOnly: false,
    })
    return errorName(responses[0]!.errorCode)
  }
  t.equal(await replace([{ name: 'segment.ms', value: '9' }]), 'NONE')
  t.equal(await configOf(test, TOPIC, 'a', 'retention.ms'), '604800000')
  t.equal(await configOf(test, TOPIC, 'a', 'segment.ms'), '9')
  t.equal(await replace([{ name: 'compression.type', value: 'gzip' }]), 'INVALID_CONFIG')
})

t.test('dynamic broker configs reach the topics that do not set their own', async t => {
  const test = await start(t)
  await test.createTopic('a')
  await test.createTopic('b', 1, { 'max.message.bytes': '1000' })
  t.equal(await edit(test, BROKER, '', [['message.max.bytes', SET, '100']]), 'NONE')
  t.equal(await test.produce('a', 0, ['x'.repeat(200)]), -10)
  t.equal(await test.produce('b', 0, ['x'.repeat(200)]), 0)
  t.equal(await configOf(test, BROKER, '', 'message.max.bytes'), '100')
  t.equal(await edit(test, BROKER, '1', [['message.max.bytes', SET, '500']]), 'NONE')
  t.equal(await test.produce('a', 0, ['x'.repeat(200)]), 0)
  const { configs } = await describe(test, TOPIC, 'a', ['max.message.bytes'])
  t.match(configs[0], { value: '500', configSource: 2 })
  t.same(
    configs[0]?.synonyms.map(({ value, source }) => [value, source]),
    [
      ['500', 2],
      ['100', 3],
      ['1048588', 5],
    ],
  )
  t.equal(await edit(test, BROKER, '1', [['num.partitions', SET, '4']]), 'INVALID_REQUEST')
  t.equal(await edit(test, BROKER, '7', [['message.max.bytes', SET, '4']]), 'INVALID_REQUEST')
})
