import t from 'tap'
import { listenersOf } from '../../broker/config/listeners.ts'
import { loadConfig } from '../../broker/config.ts'

const file = (text: string) => ({ path: 'server.properties', text })

t.test('a flag wins over the environment, which wins over the file, which wins over the default', t => {
  const environment = {
    KAFKA_NUM_PARTITIONS: '3',
    SLUICE_LOG_RETENTION_HOURS: '5',
    KAFKA_LOG_RETENTION_HOURS: '6',
  }
  const { config } = loadConfig({
    file: file('num.partitions=2\nlog.retention.hours=4\nnode.id=7'),
    environment,
    flags: { 'num.partitions': '4' },
  })
  t.equal(config.values['num.partitions'], 4)
  t.equal(config.values['log.retention.hours'], 5)
  t.equal(config.values['node.id'], 7)
  t.equal(config.values['message.max.bytes'], 1_048_588)
  t.end()
})

t.test('an unknown name in a file is ignored with a warning that names the nearest', t => {
  const { warnings } = loadConfig({ file: file('num.partition=2\nnum.io.threads=8\nfoo.bar.baz.qux=1') })
  t.equal(warnings.length, 3)
  t.match(
    warnings[0],
    'server.properties:1: Unknown broker config name: num.partition (did you mean num.partitions?)',
  )
  t.match(warnings[1], 'num.io.threads is a config of Kafka that has no use in Sluice')
  t.notMatch(warnings[2], 'did you mean')
  t.end()
})

t.test('an unknown flag is refused by name', t => {
  t.throws(() => loadConfig({ flags: { 'log.retention.hour': '1' } }), {
    name: 'ConfigError',
    message: 'Unknown broker config name: log.retention.hour (did you mean log.retention.hours?)',
  })
  t.end()
})

t.test('a near miss in the environment is warned about, other variables are not', t => {
  const environment = {
    KAFKA_NUM_PARTITION: '3',
    KAFKA_HEAP_OPTS: '-Xmx1G',
    SLUICE_BROKERS: 'x',
    PATH: '/bin',
  }
  const { warnings } = loadConfig({ environment })
  t.equal(warnings.length, 1)
  t.match(warnings[0], 'KAFKA_NUM_PARTITION is not known (did you mean KAFKA_NUM_PARTITIONS?)')
  t.end()
})

t.test('all bad values are told at once', t => {
  t.throws(
    () => loadConfig({ file: file('num.partitions=0\nlog.preallocate=maybe\nlog.cleanup.policy=shred') }),
    {
      message: /num\.partitions: Value must be at least 1.*must be one of: delete, compact.*true or false/s,
    },
  )
  t.end()
})

t.test('broker.id is node.id, and the two may not differ', t => {
  t.equal(loadConfig({ file: file('broker.id=3') }).config.values['node.id'], 3)
  t.equal(loadConfig({ file: file('broker.id=3\nnode.id=3') }).config.values['node.id'], 3)
  t.throws(() => loadConfig({ file: file('broker.id=3\nnode.id=4') }), { message: /say different things/ })
  t.end()
})

t.test('one data folder is served', t => {
  t.throws(() => loadConfig({ flags: { 'log.dirs': '/a,/b' } }), { message: /names 2 folders/ })
  t.end()
})

t.test('the server.properties that Kafka ships can be taken as it is', t => {
  const { config, warnings } = loadConfig({
    file: file(`
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=2
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
`),
  })
  for (const warning of warnings) t.match(warning, 'has no use in Sluice')
  t.same(listenersOf(config.values), [
    { name: 'PLAINTEXT', host: '0.0.0.0', port: 9092, advertised: { host: 'localhost', port: 9092 } },
  ])
  t.end()
})

t.test('listeners that cannot be are refused with a reason', t => {
  const refused = (flags: Record<string, string>, message: RegExp): void => {
    t.throws(() => loadConfig({ flags }), { name: 'ConfigError', message })
  }
  refused({ listeners: 'localhost:9092' }, /is not NAME:\/\/HOST:PORT/)
  refused({ listeners: 'SSL://:9092' }, /only PLAINTEXT is served yet/)
  refused({ listeners: 'INSIDE://:9092' }, /add INSIDE:PLAINTEXT to listener\.security\.protocol\.map/)
  refused({ 'advertised.listeners': 'PLAINTEXT://0.0.0.0:9092' }, /no client can connect/)
  refused({ 'advertised.listeners': 'OUTSIDE://host:9092' }, /which listeners does not/)
  const { config } = loadConfig({
    flags: {
      listeners: 'PLAINTEXT://[::1]:9092,OUT://:1',
      'listener.security.protocol.map': 'OUT:PLAINTEXT',
    },
  })
  t.same(
    listenersOf(config.values).map(({ name, host, port }) => ({ name, host, port })),
    [
      { name: 'PLAINTEXT', host: '::1', port: 9092 },
      { name: 'OUT', host: '0.0.0.0', port: 1 },
    ],
  )
  t.end()
})
