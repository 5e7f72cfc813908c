import t from 'tap'
import { BrokerConfig } from '../../../broker/config/broker-config.ts'
import { type EtcdAccess, etcdAccessOf } from '../../../broker/config/cluster.ts'

function access(settings: Record<string, string>): EtcdAccess | null {
  return etcdAccessOf(
    BrokerConfig.of({ 'etcd.endpoints': 'http://a:2379,http://b:2379', ...settings }).values,
  )
}

t.test('a broker without addresses of etcd is alone', async t => {
  t.equal(etcdAccessOf(BrokerConfig.of().values), null)
  const forgotten = BrokerConfig.of({ 'etcd.user': 'sluice' }).values
  t.throws(() => etcdAccessOf(forgotten), {
    name: 'ConfigError',
    message: /etcd\.endpoints is not, so the broker would be alone/,
  })
})

t.test('with them it is one of a cluster', async t => {
  t.same(access({}), {
    endpoints: ['http://a:2379', 'http://b:2379'],
    user: null,
    password: null,
    tls: null,
    requestTimeoutMs: 5000,
    unsoundVersions: 'warn',
  })
})

t.test('a user has a password, in the configuration or in a file, and not in both', async t => {
  t.match(access({ 'etcd.user': 'u', 'etcd.password': ' p ' }), { user: 'u', password: { text: ' p ' } })
  t.match(access({ 'etcd.user': 'u', 'etcd.password.file': '/p' }), { password: { file: '/p' } })
  t.throws(() => access({ 'etcd.user': 'u' }), { message: /etcd\.user is set and no password/ })
  t.throws(() => access({ 'etcd.password': 'p' }), { message: /and no user/ })
  const both = { 'etcd.user': 'u', 'etcd.password': 'p', 'etcd.password.file': '/p' }
  t.throws(() => access(both), { message: /are both set/ })
})

t.test('a certificate and its key go together', async t => {
  const tls = { authoritiesFile: '/ca', certificateFile: '/c', keyFile: '/k', serverName: null }
  t.match(access({ 'etcd.ca.file': '/ca', 'etcd.cert.file': '/c', 'etcd.key.file': '/k' }), { tls })
  t.throws(() => access({ 'etcd.cert.file': '/c' }), { message: /etcd\.key\.file is not/ })
  t.throws(() => access({ 'etcd.key.file': '/k' }), { message: /etcd\.cert\.file is not/ })
})

t.test('a broker on every interface must say by which address the others reach it', async t => {
  const listeners = 'PLAINTEXT://0.0.0.0:9092'
  t.throws(() => access({ listeners }), { message: /every interface \(0\.0\.0\.0\).*--advertise HOST:9092/ })
  t.ok(access({ listeners, 'advertised.listeners': 'PLAINTEXT://broker-1:9092' }))
})
