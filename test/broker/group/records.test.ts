/**
 * The records of `__consumer_offsets`, held to bytes that Kafka's own coordinator wrote of the same values.
 */
import t from 'tap'
import { partitionOfGroup } from '../../../broker/group/placement.ts'
import { decodeGroupRecord, encodeGroupRecord, type GroupRecord } from '../../../broker/group/records.ts'
import { MalformedError, UnsupportedVersionError } from '../../../client/protocol/errors.ts'
import { type TopicId, ZERO_TOPIC_ID } from '../../../client/protocol/types.ts'

const topicId = '000102030405060708090a0b0c0d0e0f' as TopicId
const groupId = 'g'

interface Example {
  readonly record: GroupRecord
  readonly key: string
  readonly value: string
}

const EXAMPLES: readonly Example[] = [
  {
    record: {
      type: 'offset-commit',
      key: { group: 'g', topic: 't', partition: 3 },
      value: {
        offset: 42,
        leaderEpoch: 7,
        metadata: 'm',
        commitTimestamp: 1000,
        expireTimestamp: -1,
        topicId,
      },
    },
    key: '000100016700017400000003',
    value: '0004000000000000002a00000007026d00000000000003e8010010000102030405060708090a0b0c0d0e0f',
  },
  {
    record: {
      type: 'offset-commit',
      key: { group: 'g', topic: 't', partition: 3 },
      value: {
        offset: 42,
        leaderEpoch: -1,
        metadata: '',
        commitTimestamp: 1000,
        expireTimestamp: 2000,
        topicId: ZERO_TOPIC_ID,
      },
    },
    key: '000100016700017400000003',
    value: '0001000000000000002a000000000000000003e800000000000007d0',
  },
  {
    record: {
      type: 'group-metadata',
      key: { groupId },
      value: {
        protocolType: 'consumer',
        generation: 2,
        protocol: 'range',
        leader: 'a',
        currentStateTimestamp: 1000,
        members: [
          {
            memberId: 'a',
            groupInstanceId: 'i',
            clientId: 'c',
            clientHost: '/h',
            rebalanceTimeout: 30_000,
            sessionTimeout: 10_000,
            subscription: Buffer.from('sub'),
            assignment: Buffer.from('ass'),
          },
        ],
      },
    },
    key: '0002000167',
    value:
      '00030008636f6e73756d657200000002000572616e676500016100000000000003e80000000100016100016900016300022f68' +
      '00007530000027100000000373756200000003617373',
  },
  {
    record: { type: 'consumer-group', key: { groupId }, value: { epoch: 5, metadataHash: 77n } },
    key: '0003000167',
    value: '000000000005010008000000000000004d',
  },
  {
    record: {
      type: 'consumer-group-member',
      key: { groupId, memberId: 'm' },
      value: {
        instanceId: null,
        rackId: 'r',
        clientId: 'c',
        clientHost: '/h',
        subscribedTopicNames: ['t'],
        subscribedTopicRegex: 'x.*',
        rebalanceTimeoutMs: 30_000,
        serverAssignor: null,
        classicMemberMetadata: {
          sessionTimeoutMs: 10_000,
          supportedProtocols: [{ name: 'range', metadata: Buffer.from('sub') }],
        },
      },
    },
    key: '000500016700016d',
    value: '00000002720263032f6802027404782e2a00007530000100120100002710020672616e6765047375620000',
  },
  {
    // Written by Apache Kafka 4.1: it writes out that the member is no classic one.
    record: {
      type: 'consumer-group-member',
      key: { groupId, memberId: 'm' },
      value: {
        instanceId: null,
        rackId: null,
        clientId: 'console-consumer',
        clientHost: '/127.0.0.1',
        subscribedTopicNames: ['orders'],
        subscribedTopicRegex: '',
        rebalanceTimeoutMs: 300_000,
        serverAssignor: null,
        classicMemberMetadata: null,
      },
    },
    key: '000500016700016d',
    value:
      '0000000011636f6e736f6c652d636f6e73756d65720b2f3132372e302e302e3102076f7264657273' +
      '01000493e00001000100',
  },
  {
    record: {
      type: 'consumer-group-target',
      key: { groupId },
      value: { assignmentEpoch: 5, assignmentTimestamp: 0 },
    },
    key: '0006000167',
    value: '00000000000500',
  },
  {
    record: {
      type: 'consumer-group-target-member',
      key: { groupId, memberId: 'm' },
      value: { topicPartitions: [{ topicId, partitions: [0, 1] }] },
    },
    key: '000700016700016d',
    value: '000002000102030405060708090a0b0c0d0e0f0300000000000000010000',
  },
  {
    record: {
      type: 'consumer-group-current-member',
      key: { groupId, memberId: 'm' },
      value: {
        memberEpoch: 5,
        previousMemberEpoch: 4,
        state: 1,
        assignedPartitions: [{ topicId, partitions: [0], assignmentEpochs: null }],
        partitionsPendingRevocation: [{ topicId, partitions: [1], assignmentEpochs: null }],
      },
    },
    key: '000800016700016d',
    value:
      '000000000005000000040102000102030405060708090a0b0c0d0e0f02000000000002000102030405060708090a0b0c0d0e0f' +
      '02000000010000',
  },
  {
    record: {
      type: 'consumer-group-pattern',
      key: { groupId, regularExpression: 'x.*' },
      value: { topics: ['xa'], version: 9, timestamp: 1000 },
    },
    key: '00100001670003782e2a',
    value: '000002037861000000000000000900000000000003e800',
  },
]

const hex = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString('hex'))
const bytes = (text: string) => Buffer.from(text, 'hex')

t.test('every kind of record is written and read as Kafka does it', async t => {
  for (const { record, key, value } of EXAMPLES) {
    const encoded = encodeGroupRecord(record)
    t.equal(hex(encoded.key), key, record.type)
    t.equal(hex(encoded.value), value, record.type)
    t.same(decodeGroupRecord(bytes(key), bytes(value)), record)
    const tombstone = { ...record, value: null } as GroupRecord
    t.same(encodeGroupRecord(tombstone), { key: bytes(key), value: null })
    t.same(decodeGroupRecord(bytes(key), null), tombstone)
  }
})

t.test('older values are read too', async t => {
  const key = '000100016700017400000003'
  const values = [
    '0000000000000000002a00016d00000000000003e8',
    '0001000000000000002a00016d00000000000003e8ffffffffffffffff',
    '0002000000000000002a00016d00000000000003e8',
    '0003000000000000002affffffff00016d00000000000003e8',
  ]
  for (const value of values) {
    t.match(decodeGroupRecord(bytes(key), bytes(value)), {
      type: 'offset-commit',
      value: { offset: 42, leaderEpoch: -1, metadata: 'm', commitTimestamp: 1000, expireTimestamp: -1 },
    })
  }
  t.match(decodeGroupRecord(bytes(`0000${key.slice(4)}`), bytes(values[0]!)), { type: 'offset-commit' })
  const group = '00000008636f6e73756d65720000000200057261 6e676500016100000000'.replace(' ', '')
  t.match(decodeGroupRecord(bytes('0002000167'), bytes(group)), {
    value: { generation: 2, currentStateTimestamp: -1, members: [] },
  })
})

t.test('records that are not ours are left alone, and nonsense is noticed', async t => {
  t.equal(decodeGroupRecord(bytes('000b000167'), bytes('0000')), null)
  t.equal(decodeGroupRecord(bytes('7fff'), null), null)
  t.throws(() => decodeGroupRecord(bytes('00'), null), MalformedError)
  t.throws(() => decodeGroupRecord(bytes('00010001'), null), MalformedError)
  t.throws(() => decodeGroupRecord(bytes('0003000167'), bytes('ffff')), MalformedError)
  t.throws(() => decodeGroupRecord(bytes('0003000167'), bytes('0009')), UnsupportedVersionError)
})

t.test('what is read keeps nothing of the bytes', async t => {
  const { key, value } = EXAMPLES[2]!
  const raw = bytes(value)
  const record = decodeGroupRecord(bytes(key), raw)
  raw.fill(0)
  t.match(record, {
    value: { members: [{ subscription: Buffer.from('sub'), assignment: Buffer.from('ass') }] },
  })
})

t.test('a group lives where Kafka puts it', async t => {
  const places = { g: 3, 'my-group': 12, '': 0, 'console-consumer-71302': 14, 'ünïcödé-😀': 31 }
  for (const [name, partition] of Object.entries(places)) t.equal(partitionOfGroup(name, 50), partition)
  t.equal(partitionOfGroup('polygenelubricants', 50), 0, 'its hash is the smallest there is')
})
