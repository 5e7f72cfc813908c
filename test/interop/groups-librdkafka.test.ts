/**
 * librdkafka in consumer groups, as kcat and through Debian's python3-confluent-kafka: ranges and cooperative sticky
 * assignment, static members, and offsets over a kill -9.
 */
import t from 'tap'
import { type BrokerProcess, spawnBroker } from '../helpers/broker-process.ts'
import { missing, run, withoutKcat } from '../helpers/foreign.ts'

const withoutConfluentKafka = missing(
  '/usr/bin/python3',
  ['-c', 'import confluent_kafka'],
  'apt-get install python3-confluent-kafka',
)

const properties = { 'num.partitions': 4, 'group.initial.rebalance.delay.ms': 0 }

async function produce(broker: BrokerProcess, values: readonly string[]): Promise<void> {
  const { code, stderr } = await run(
    'kcat',
    ['-b', broker.bootstrap, '-P', '-t', 'orders', '-X', 'partitioner=murmur2', '-K', ':'],
    values.map(value => `${value}:${value}\n`).join(''),
  )
  if (code !== 0) throw new Error(stderr)
}

async function consumeAsGroup(broker: BrokerProcess, groupId: string): Promise<string[]> {
  const { code, stdout, stderr } = await run('kcat', [
    ...['-b', broker.bootstrap, '-G', groupId, '-e', '-q', '-X', 'auto.offset.reset=earliest', 'orders'],
  ])
  if (code !== 0) throw new Error(stderr)
  return stdout
    .toString()
    .split('\n')
    .filter(line => line !== '')
    .sort()
}

const values = (from: number, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `value-${String(from + index).padStart(4, '0')}`)

t.test('kcat -G reads everything once, over a kill -9 of the broker', { skip: withoutKcat }, async t => {
  await using broker = await spawnBroker({ properties })
  await produce(broker, values(0, 100))
  t.same(await consumeAsGroup(broker, 'kcat'), values(0, 100))
  await broker.restart()
  await produce(broker, values(100, 50))
  t.same(await consumeAsGroup(broker, 'kcat'), values(100, 50), 'only what is new')
  t.same(await consumeAsGroup(broker, 'another'), values(0, 150), 'another group has its own offsets')
})

const script = `
import sys, json
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
bootstrap, strategy, static = sys.argv[1], sys.argv[2], sys.argv[3] == 'static'

def consumer(name):
    config = {'bootstrap.servers': bootstrap, 'group.id': 'group-' + strategy, 'client.id': name,
        'partition.assignment.strategy': strategy, 'auto.offset.reset': 'earliest', 'enable.auto.commit': False,
        'session.timeout.ms': 6000, 'heartbeat.interval.ms': 200, 'topic.metadata.refresh.interval.ms': 1000}
    if static: config['group.instance.id'] = name
    made = Consumer(config)
    made.subscribe(['orders'])
    return made

producer = Producer({'bootstrap.servers': bootstrap, 'acks': 'all'})
def produce(first, count):
    for i in range(first, first + count):
        producer.produce('orders', key=str(i), value=str(i), partition=i % 4)
    assert producer.flush(20) == 0

def read(consumers, count, settled=lambda: True):
    seen = []
    for _ in range(2000):
        for one in consumers:
            message = one.poll(0.01)
            if message is None: continue
            assert not message.error(), message.error()
            seen.append(int(message.value()))
            one.commit(message=message, asynchronous=False)
        if len(seen) >= count and settled(): return seen
    raise Exception('read %d of %d, assigned %s' % (len(seen), count, [c.assignment() for c in consumers]))

produce(0, 40)
a = consumer('a')
assert sorted(read([a], 40)) == list(range(40))
b = consumer('b')
halves = lambda: len(a.assignment()) == 2 and len(b.assignment()) == 2
assert read([a, b], 0, halves) == []
produce(40, 40)
assert sorted(read([a, b], 40)) == list(range(40, 80))
owned = sorted(p.partition for c in (a, b) for p in c.assignment())
assert owned == [0, 1, 2, 3], owned
if static:
    before = sorted(p.partition for p in b.assignment())
    b.close()
    b = consumer('b')
    assert read([a, b], 0, halves) == []
    assert sorted(p.partition for p in b.assignment()) == before
    assert len(a.assignment()) == 2
else:
    b.close()
    assert read([a], 0, lambda: len(a.assignment()) == 4) == []
    produce(80, 40)
    assert sorted(read([a], 40)) == list(range(80, 120))
committed = a.committed([TopicPartition('orders', p) for p in range(4)], timeout=10)
print(json.dumps([p.offset for p in committed]))
groups = AdminClient({'bootstrap.servers': bootstrap}).list_groups(timeout=10)
print(json.dumps([[g.id, g.state, g.protocol_type, len(g.members)] for g in groups]))
a.close()
`

for (const [strategy, kind, offset, members] of [
  ['range', 'dynamic', 30, 1],
  ['cooperative-sticky', 'dynamic', 30, 1],
  ['roundrobin', 'static', 20, 2],
] as const) {
  t.test(
    `confluent-kafka shares and commits: ${strategy}, ${kind} members`,
    { skip: withoutConfluentKafka },
    async t => {
      await using broker = await spawnBroker({ properties })
      const outcome = await run('/usr/bin/python3', ['-c', script, broker.bootstrap, strategy, kind])
      t.equal(outcome.code, 0, outcome.stderr)
      const [offsets, groups] = outcome.stdout.toString().trim().split('\n')
      t.same(JSON.parse(offsets ?? ''), [offset, offset, offset, offset])
      t.same(JSON.parse(groups ?? ''), [[`group-${strategy}`, 'Stable', 'consumer', members]])
    },
  )
}
