/** Debian's python3-kafka in a consumer group: two members, one of which goes; offsets over a kill -9 of the broker. */
import t from 'tap'
import { spawnBroker } from '../helpers/broker-process.ts'
import { run, withoutPythonKafka } from '../helpers/foreign.ts'

const script = `
import sys, threading, time
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
bootstrap, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

# A poll waits for the whole of a rebalance, so each member has a thread of its own.
class Member(threading.Thread):
    def __init__(self):
        super().__init__()
        self.seen, self.assigned, self.leaving = [], set(), False
        self.consumer = KafkaConsumer('orders', bootstrap_servers=bootstrap, group_id='python',
            auto_offset_reset='earliest', enable_auto_commit=False, session_timeout_ms=6000,
            heartbeat_interval_ms=200, max_poll_records=10)
        self.start()
    def run(self):
        while not self.leaving:
            for records in self.consumer.poll(timeout_ms=50).values():
                self.seen += [int(record.value) for record in records]
                self.consumer.commit()
            self.assigned = self.consumer.assignment()
    def leave(self):
        self.leaving = True
        self.join()

def until(is_so):
    for _ in range(1000):
        if is_so(): return
        time.sleep(0.02)
    raise Exception('it did not come')

producer = KafkaProducer(bootstrap_servers=bootstrap, acks='all')
for i in range(first, first + count):
    producer.send('orders', value=b'%d' % i, partition=i % 4).get(timeout=20)
producer.close()

one = Member()
until(lambda: len(one.seen) >= count)
assert sorted(one.seen) == list(range(first, first + count)), one.seen
two = Member()
until(lambda: len(one.assigned) == 2 and len(two.assigned) == 2)
two.leave()
two.consumer.close()
until(lambda: len(one.assigned) == 4)
assert two.seen == []
one.leave()
a = one.consumer
print([a.committed(TopicPartition('orders', p)) for p in range(4)])
admin = KafkaAdminClient(bootstrap_servers=bootstrap)
print(admin.list_consumer_groups())
[group] = admin.describe_consumer_groups(['python'])
print(group.state, len(group.members))
admin.close()
a.close()
`

t.test(
  'python3-kafka shares, commits, and goes on after a kill -9',
  { skip: withoutPythonKafka },
  async t => {
    await using broker = await spawnBroker({
      properties: { 'num.partitions': 4, 'group.initial.rebalance.delay.ms': 0 },
    })
    for (const [round, committed] of [
      [0, 10],
      [1, 20],
    ] as const) {
      const args = ['-c', script, broker.bootstrap, String(round * 40), '40']
      const outcome = await run('/usr/bin/python3', args)
      t.equal(outcome.code, 0, outcome.stderr)
      t.same(outcome.stdout.toString().trim().split('\n'), [
        `[${Array(4).fill(committed).join(', ')}]`,
        "[('python', 'consumer')]",
        'Stable 1',
      ])
      await broker.restart()
    }
  },
)
