/** Clients of two makes in one group, with an assignor that both know: librdkafka and python3-kafka share a topic. */
import t from 'tap'
import { spawnBroker } from '../helpers/broker-process.ts'
import { missing, run, withoutPythonKafka } from '../helpers/foreign.ts'

const withoutConfluentKafka = missing(
  '/usr/bin/python3',
  ['-c', 'import confluent_kafka'],
  'apt-get install python3-confluent-kafka',
)

const script = `
import sys, threading, time
from confluent_kafka import Consumer
from kafka import KafkaConsumer, KafkaProducer
bootstrap = sys.argv[1]

class Member(threading.Thread):
    def __init__(self):
        super().__init__()
        self.seen, self.assigned, self.leaving = [], set(), False
        self.start()
    def run(self):
        while not self.leaving: self.step()
        self.consumer.close()
    def leave(self):
        self.leaving = True
        self.join()

class Librdkafka(Member):
    def __init__(self):
        self.consumer = Consumer({'bootstrap.servers': bootstrap, 'group.id': 'mixed', 'auto.offset.reset': 'earliest',
            'partition.assignment.strategy': 'range', 'session.timeout.ms': 6000, 'heartbeat.interval.ms': 200,
            'enable.auto.commit': False})
        self.consumer.subscribe(['orders'])
        super().__init__()
    def step(self):
        message = self.consumer.poll(0.05)
        if message is not None:
            assert not message.error(), message.error()
            self.seen.append(int(message.value()))
            self.consumer.commit(message=message, asynchronous=False)
        self.assigned = {p.partition for p in self.consumer.assignment()}

class PythonKafka(Member):
    def __init__(self):
        self.consumer = KafkaConsumer('orders', bootstrap_servers=bootstrap, group_id='mixed',
            auto_offset_reset='earliest', enable_auto_commit=False, session_timeout_ms=6000, heartbeat_interval_ms=200)
        super().__init__()
    def step(self):
        for records in self.consumer.poll(timeout_ms=50).values():
            self.seen += [int(record.value) for record in records]
            self.consumer.commit()
        self.assigned = {p.partition for p in self.consumer.assignment()}

def until(is_so, what):
    for _ in range(1500):
        if is_so(): return
        time.sleep(0.02)
    raise Exception(what)

producer = KafkaProducer(bootstrap_servers=bootstrap, acks='all')
def produce(first, count):
    for i in range(first, first + count):
        producer.send('orders', value=b'%d' % i, partition=i % 4).get(timeout=20)

def shared(members):
    owned = [p for m in members for p in m.assigned]
    return sorted(owned) == [0, 1, 2, 3] and all(m.assigned for m in members)

produce(0, 40)
members = [Librdkafka()]
until(lambda: shared(members), 'one member has all')
until(lambda: len(members[0].seen) == 40, 'it has read all')
members.append(PythonKafka())
until(lambda: shared(members), 'two members share')
members.append(Librdkafka())
until(lambda: shared(members), 'three members share')
produce(40, 40)
until(lambda: sum(len(m.seen) for m in members) == 80, 'they have read all')
first = members.pop(0)
first.leave()
until(lambda: shared(members), 'the first has left')
produce(80, 40)
everybody = [first] + members
until(lambda: sum(len(m.seen) for m in everybody) == 120, 'the others have read the rest')
assert sorted(value for m in everybody for value in m.seen) == list(range(120))
for m in members: m.leave()
producer.close()
print('ok')
`

t.test(
  'librdkafka and python3-kafka in one group: every record once',
  { skip: withoutPythonKafka || withoutConfluentKafka },
  async t => {
    await using broker = await spawnBroker({
      properties: { 'num.partitions': 4, 'group.initial.rebalance.delay.ms': 0 },
    })
    const outcome = await run('/usr/bin/python3', ['-c', script, broker.bootstrap])
    t.equal(outcome.code, 0, outcome.stderr)
    t.equal(outcome.stdout.toString(), 'ok\n')
  },
)
