/** Debian's python3-kafka: lists topics, produces and consumes. */
import t from 'tap'
import { spawnBroker } from '../helpers/broker-process.ts'
import { run, withoutPythonKafka } from '../helpers/foreign.ts'

const script = `
import sys
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
bootstrap = sys.argv[1]
producer = KafkaProducer(bootstrap_servers=bootstrap, acks='all')
for i in range(100):
    producer.send('python', key=b'k%d' % i, value=b'v%d' % i).get(timeout=20)
producer.close()
admin = KafkaAdminClient(bootstrap_servers=bootstrap)
print(sorted(admin.list_topics()))
admin.close()
consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset='earliest', consumer_timeout_ms=20000)
partition = TopicPartition('python', 0)
consumer.assign([partition])
consumer.seek_to_beginning(partition)
end = consumer.end_offsets([partition])[partition]
seen = []
for record in consumer:
    seen.append((record.offset, record.key, record.value))
    if record.offset == end - 1:
        break
assert seen == [(i, b'k%d' % i, b'v%d' % i) for i in range(100)], seen
consumer.close()
print('ok')
`

t.test('python3-kafka lists topics, produces and consumes', { skip: withoutPythonKafka }, async t => {
  await using broker = await spawnBroker()
  const outcome = await run('/usr/bin/python3', ['-c', script, broker.bootstrap])
  t.equal(outcome.code, 0, outcome.stderr)
  t.equal(outcome.stdout.toString(), "['python']\nok\n")
})
