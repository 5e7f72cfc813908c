/**
 * What consumers tell each other, held to bytes that Kafka's own client wrote.
 */
import t from 'tap'
import { MalformedError } from '../../../../client/protocol/errors.ts'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
  subscribedTopics,
} from '../../../../client/protocol/messages/consumer-protocol.ts'

const SUBSCRIPTIONS = [
  '00000000000200016100026263000000027564',
  '0001000000020001610002626300000002756400000001000161000000020000000000000002',
  '000200000002000161000262630000000275640000000100016100000002000000000000000200000005',
  '000300000002000161000262630000000275640000000100016100000002000000000000000200000005000172',
]
const SUBSCRIPTION = {
  topics: ['a', 'bc'],
  userData: Buffer.from('ud'),
  ownedPartitions: [{ topic: 'a', partitions: [0, 2] }],
  generationId: 5,
  rackId: 'r',
}
const ASSIGNMENT = { assignedPartitions: [{ topic: 'a', partitions: [0, 2] }], userData: null }

t.test('subscriptions of every version are those of Kafka', async t => {
  for (const [version, hex] of SUBSCRIPTIONS.entries()) {
    t.equal(encodeSubscription(SUBSCRIPTION, version).toString('hex'), hex)
    t.match(decodeSubscription(Buffer.from(hex, 'hex')), {
      version,
      topics: ['a', 'bc'],
      ownedPartitions: version < 1 ? [] : SUBSCRIPTION.ownedPartitions,
      generationId: version < 2 ? -1 : 5,
      rackId: version < 3 ? null : 'r',
    })
    t.same(subscribedTopics(Buffer.from(hex, 'hex')), ['a', 'bc'])
  }
})

t.test('so are assignments', async t => {
  for (const version of [0, 1, 2, 3]) {
    const hex = `000${version}00000001000161000000020000000000000002ffffffff`
    t.equal(encodeAssignment(ASSIGNMENT, version).toString('hex'), hex)
    t.same(decodeAssignment(Buffer.from(hex, 'hex')), { ...ASSIGNMENT, version })
  }
  t.same(decodeAssignment(Buffer.alloc(0)), { assignedPartitions: [], userData: null, version: 0 })
})

t.test('of a newer version, what is known is read', async t => {
  const newer = Buffer.from(`${SUBSCRIPTIONS[3]!.replace(/^0003/, '0009')}cafe`, 'hex')
  t.match(decodeSubscription(newer), { version: 9, rackId: 'r' })
  t.same(subscribedTopics(newer), ['a', 'bc'])
  t.equal(encodeSubscription(SUBSCRIPTION, 9).toString('hex'), SUBSCRIPTIONS[3])
})

t.test('bytes that are no subscription have no topics', async t => {
  for (const hex of ['', '00', 'ffff00000000', '000000000005', '00007fffffff0001']) {
    t.equal(subscribedTopics(Buffer.from(hex, 'hex')), null)
    t.throws(() => decodeSubscription(Buffer.from(hex, 'hex')), MalformedError)
  }
})
