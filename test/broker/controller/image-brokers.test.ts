import t from 'tap'
import { ClusterBrokers } from '../../../broker/controller/image-brokers.ts'
import { type BrokerRegistration } from '../../../broker/controller/records.ts'

function registration(
  broker: number,
  brokerEpoch: number,
): { type: 'broker-registered' } & BrokerRegistration {
  const endpoints = [{ listener: 'PLAINTEXT', host: 'localhost', port: 9092 + broker }]
  return {
    type: 'broker-registered',
    broker,
    brokerEpoch,
    lease: `lease-${brokerEpoch}`,
    incarnation: `process-${brokerEpoch}`,
    folder: `folder-${broker}`,
    endpoints,
    rack: null,
    cleanEpoch: -1,
  }
}

function state(broker: number, brokerEpoch: number, fenced: boolean, shuttingDown = false) {
  return {
    type: 'broker-state',
    broker,
    brokerEpoch,
    incarnation: `process-${brokerEpoch}`,
    fenced,
    shuttingDown,
  } as const
}

t.test('a broker is active once the controller has let in this very registration', async t => {
  const brokers = new ClusterBrokers()
  brokers.apply(registration(2, 10), 10)
  t.equal(brokers.isActive(2), false, 'registered is not enough')
  brokers.apply(state(2, 10, false), 11)
  t.equal(brokers.isActive(2), true)
  t.same(brokers.active(), [2])
  brokers.apply({ type: 'broker-gone', broker: 2 }, 12)
  t.equal(brokers.isActive(2), false)
  brokers.apply(registration(2, 13), 13)
  t.equal(
    brokers.isActive(2),
    false,
    'what was said of the former registration does not hold for the next one',
  )
  t.equal(brokers.epochOf(2), 13)
  brokers.apply(state(2, 13, true), 14)
  t.equal(brokers.isUnfenced(2), false)
  t.equal(brokers.state(2)?.revision, 14)
})

t.test('a broker that is about to leave leads on, but is given nothing more', async t => {
  const brokers = new ClusterBrokers()
  brokers.apply(registration(1, 5), 5)
  brokers.apply(registration(3, 6), 6)
  brokers.apply(state(1, 5, false), 7)
  brokers.apply(state(3, 6, false, true), 8)
  t.equal(brokers.isUnfenced(3), true)
  t.equal(brokers.isActive(3), false)
  t.same(brokers.active(), [1])
  t.same(
    brokers.registered().map(({ broker }) => broker),
    [1, 3],
  )
})

t.test('there is one controller or none', async t => {
  const brokers = new ClusterBrokers()
  t.equal(brokers.controller, null)
  t.same(brokers.controllerEpoch, { epoch: 0, revision: 0 })
  brokers.apply({ type: 'controller', broker: 1, term: 20, lease: 'lease-5' }, 20)
  brokers.apply({ type: 'controller-epoch', epoch: 1 }, 20)
  t.same(brokers.controller, { broker: 1, term: 20, lease: 'lease-5' })
  t.same(brokers.controllerEpoch, { epoch: 1, revision: 20 })
  brokers.apply({ type: 'controller-gone' }, 21)
  t.equal(brokers.controller, null)
})
