/** Bytes worked out by hand from Kafka's definitions: what a codec that merely agrees with itself would not notice. */
import t from 'tap'
import { API, APIS } from '../../../client/protocol/apis.ts'
import { UnencodableError, UnsupportedVersionError } from '../../../client/protocol/errors.ts'
import { Reader } from '../../../client/protocol/reader.ts'
import { type Message } from '../../../client/protocol/schema.ts'
import { type TopicId, ZERO_TOPIC_ID } from '../../../client/protocol/types.ts'
import { Writer } from '../../../client/protocol/writer.ts'

const TOPIC_ID = '00112233445566778899aabbccddeeff' as TopicId

function hexOf<Value, Given>(message: Message<Value, Given>, version: number, value: Given): string {
  const writer = new Writer()
  message.at(version).encode(writer, value)
  return writer.concat().toString('hex')
}

function read<Value, Given>(message: Message<Value, Given>, version: number, hex: string): Value {
  return message.at(version).decode(new Reader(Buffer.from(hex, 'hex')))
}

/** Hexadecimal in pieces, as the fields are cut. */
function bytes(...pieces: string[]): string {
  return pieces.join('').replaceAll(' ', '')
}

t.test('ApiVersions', async t => {
  const { request, response } = API.ApiVersions
  t.equal(hexOf(request, 0, {}), '')
  const software = { clientSoftwareName: 'sluice', clientSoftwareVersion: '1' }
  t.equal(hexOf(request, 3, software), bytes('07 736c75696365', '02 31', '00'))
  t.equal(hexOf(request, 5, software), bytes('07 736c75696365', '02 31', '00', 'ffffffff', '00'))

  const versions = { errorCode: 0, apiKeys: [{ apiKey: 1, minVersion: 4, maxVersion: 18 }] }
  t.equal(hexOf(response, 0, versions), bytes('0000', '00000001', '0001 0004 0012'))
  t.equal(hexOf(response, 3, versions), bytes('0000', '02', '0001 0004 0012 00', '00000000', '00'))
  const features = {
    ...versions,
    finalizedFeaturesEpoch: 7,
    finalizedFeatures: [{ name: 'f', maxVersionLevel: 2, minVersionLevel: 1 }],
  }
  const tags = bytes('02', '01 08 0000000000000007', '02 08 02 0266 0002 0001 00')
  t.equal(hexOf(response, 4, features), bytes('0000', '02', '0001 0004 0012 00', '00000000', tags))
})

t.test('Metadata: all topics, no topics, and topics by id', async t => {
  const { request } = API.Metadata
  const none = { topics: [], allowAutoTopicCreation: true }
  t.equal(hexOf(request, 0, none), '00000000', 'version 0: empty means all')
  t.equal(hexOf(request, 1, { topics: null }), 'ffffffff', 'null means all from version 1 on')
  t.throws(() => hexOf(request, 0, { topics: null }), UnencodableError)
  t.equal(hexOf(request, 4, { topics: [{ name: 't' }] }), bytes('00000001', '0001 74', '01'))
  t.equal(hexOf(request, 9, { topics: [{ name: 't' }] }), bytes('02', '02 74 00', '01', '00', '00', '00'))
  t.equal(
    hexOf(request, 12, { topics: [{ name: null, topicId: TOPIC_ID }] }),
    bytes('02', TOPIC_ID, '00', '00', '01', '00', '00'),
  )
})

t.test('Produce: names until version 12, ids from 13 on', async t => {
  const { request } = API.Produce
  const records = Buffer.from('batch')
  const partitionData = [{ index: 3, records }]
  const byName = { acks: -1, timeoutMs: 1500, topicData: [{ name: 'abc', partitionData }] }
  const partition = bytes('00000001', '00000003', '00000005 6261746368')
  t.equal(hexOf(request, 0, byName), bytes('ffff', '000005dc', '00000001', '0003 616263', partition))
  t.equal(hexOf(request, 3, byName), bytes('ffff', 'ffff', '000005dc', '00000001', '0003 616263', partition))
  t.equal(
    hexOf(request, 9, byName),
    bytes('00', 'ffff', '000005dc', '02', '04 616263', '02 00000003 06 6261746368 00', '00', '00'),
  )
  const byId = { acks: 1, timeoutMs: 0, topicData: [{ topicId: TOPIC_ID, partitionData }] }
  const body = bytes('00', '0001', '00000000', '02', TOPIC_ID, '02 00000003 06 6261746368 00', '00', '00')
  t.equal(hexOf(request, 13, byId), body)
  t.same(read(request, 13, body), {
    transactionalId: null,
    acks: 1,
    timeoutMs: 0,
    topicData: [{ name: '', topicId: TOPIC_ID, partitionData: [{ index: 3, records }] }],
  })
  t.throws(
    () => hexOf(request, 2, { ...byName, transactionalId: 'tx' }),
    UnsupportedVersionError,
    'a transactional id cannot go into version 2',
  )
})

t.test('Fetch: tagged structures are left out when they hold their defaults', async t => {
  const { response } = API.Fetch
  const partition = {
    partitionIndex: 1,
    errorCode: 0,
    highWatermark: 9,
    abortedTransactions: null,
    records: Buffer.alloc(0),
  }
  const fixed = bytes(
    '00000001',
    '0000',
    '0000000000000009',
    'ffffffffffffffff',
    'ffffffffffffffff',
    '00',
    'ffffffff',
    '01',
  )
  const before = bytes('00000000', '0000', '00000000', '02', '02 74', '02')
  const value = (more: object) => ({ responses: [{ topic: 't', partitions: [{ ...partition, ...more }] }] })
  t.equal(hexOf(response, 12, value({})), bytes(before, fixed, '00', '00', '00'))
  t.equal(
    hexOf(response, 12, value({ currentLeader: { leaderId: -1, leaderEpoch: -1 } })),
    bytes(before, fixed, '00', '00', '00'),
  )
  t.equal(
    hexOf(
      response,
      12,
      value({ currentLeader: { leaderId: 2, leaderEpoch: 5 }, divergingEpoch: { epoch: 4, endOffset: 8 } }),
    ),
    bytes(
      before,
      fixed,
      '02',
      '00 0d 00000004 0000000000000008 00',
      '01 09 00000002 00000005 00',
      '00',
      '00',
    ),
  )
  t.equal(read(API.Fetch.request, 18, fetchRequest()).topics[0]?.partitions[0]?.highWatermark, 2n ** 63n - 1n)
})

function fetchRequest(): string {
  const partition = bytes(
    '00000000',
    'ffffffff',
    '0000000000000000',
    'ffffffff',
    'ffffffffffffffff',
    '00100000',
    '00',
  )
  return bytes(
    '000001f4',
    '00000001',
    '03200000',
    '00',
    '00000000',
    'ffffffff',
    '02',
    TOPIC_ID,
    '02',
    partition,
    '00',
    '01',
    '01',
    '00',
  )
}

t.test('a structure that may be null has a marker before it', async t => {
  const { response } = API.ConsumerGroupHeartbeat
  const fixed = bytes('00000000', '0000', '00', '02 6d', '00000005', '00001388')
  const value = { errorCode: 0, memberId: 'm', memberEpoch: 5, heartbeatIntervalMs: 5000 }
  t.equal(hexOf(response, 0, { ...value, assignment: null }), bytes(fixed, 'ff', '00'))
  t.equal(hexOf(response, 0, value), bytes(fixed, 'ff', '00'), 'null is the default')
  const assignment = { topicPartitions: [{ topicId: TOPIC_ID, partitions: [0, 1] }] }
  const body = bytes(fixed, '01', '02', TOPIC_ID, '03 00000000 00000001', '00', '00', '00')
  t.equal(hexOf(response, 0, { ...value, assignment }), body)
  t.same(read(response, 0, body).assignment, assignment)
})

t.test('fields that a version lacks are decoded to their defaults', async t => {
  const coordinator = read(API.FindCoordinator.request, 0, bytes('0001 67'))
  t.same(coordinator, { key: 'g', keyType: 0, coordinatorKeys: [] })
  const init = read(API.InitProducerId.request, 0, bytes('ffff', '0000ea60'))
  t.same(init, { transactionalId: null, transactionTimeoutMs: 60000, producerId: -1n, producerEpoch: -1 })
  const topics = read(API.DeleteTopics.request, 1, bytes('00000001', '0001 74', '00000064'))
  t.same(topics, { topics: [], topicNames: ['t'], timeoutMs: 100 })
})

t.test('producer ids keep all 64 bits', async t => {
  const value = { errorCode: 0, producerId: 2n ** 62n + 1n, producerEpoch: 0 }
  const body = bytes('00000000', '0000', '4000000000000001', '0000')
  t.equal(hexOf(API.InitProducerId.response, 0, value), body)
  t.equal(read(API.InitProducerId.response, 0, body).producerId, 2n ** 62n + 1n)
})

t.test('an ignorable field is dropped where a version lacks it, another is refused', async t => {
  const topic = { errorCode: 0, name: 't', topicId: TOPIC_ID, partitions: [] }
  const metadata = { brokers: [], topics: [topic], clusterId: 'c' }
  t.same(
    read(API.Metadata.response, 0, hexOf(API.Metadata.response, 0, metadata)).topics[0]?.topicId,
    ZERO_TOPIC_ID,
  )
  const leave = { groupId: 'g', memberId: 'm', members: [{ memberId: 'm' }] }
  t.throws(() => hexOf(API.LeaveGroup.request, 2, leave), UnsupportedVersionError)
})

t.test('unknown tagged fields are kept, in their place among the known ones', async t => {
  const body = bytes('0000', '01', '00000000', '03', '01 08 0000000000000007', '03 01 01', '09 02 cafe')
  const decoded = read(API.ApiVersions.response, 3, body)
  t.same(decoded.unknownTaggedFields, [{ tag: 9, data: Buffer.from('cafe', 'hex') }])
  t.equal(decoded.zkMigrationReady, true)
  t.equal(hexOf(API.ApiVersions.response, 3, decoded), body)
  t.throws(() => hexOf(API.ApiVersions.response, 2, decoded), UnsupportedVersionError)
})

t.test('what follows a message is malformed', async t => {
  t.throws(() => read(API.Heartbeat.response, 0, '000000'), /HeartbeatResponse version 0: 1 bytes are left/)
})

t.test('a version that a message does not have is refused by name and range', async t => {
  for (const version of [3, 19, -1, 4.5, Number.NaN, 2 ** 40]) {
    t.throws(() => API.Fetch.request.at(version), UnsupportedVersionError, String(version))
  }
  t.throws(() => API.Fetch.request.at(19), /FetchRequest has the versions 4 to 18, not 19/)
})

t.test('requests and responses agree on name, versions and flexibility, and keys are unique', async t => {
  t.equal(new Set(APIS.map(({ key }) => key)).size, APIS.length)
  for (const { name, request, response } of APIS) {
    t.equal(request.name, `${name}Request`)
    t.equal(response.name, `${name}Response`)
    t.same(
      [response.minVersion, response.maxVersion, response.flexibleSince],
      [request.minVersion, request.maxVersion, request.flexibleSince],
      name,
    )
  }
})
