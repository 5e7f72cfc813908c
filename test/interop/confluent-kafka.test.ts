/** Debian's python3-confluent-kafka (librdkafka): produces with every codec, idempotent, and consumes what is assigned. */
import t from 'tap'
import { spawnBroker } from '../helpers/broker-process.ts'
import { missing, run } from '../helpers/foreign.ts'

const skip = missing(
  '/usr/bin/python3',
  ['-c', 'import confluent_kafka'],
  'apt-get install python3-confluent-kafka',
)

const script = `
import sys
from confluent_kafka import Consumer, Producer, TopicPartition, OFFSET_BEGINNING
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic
bootstrap = sys.argv[1]
codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
admin = AdminClient({'bootstrap.servers': bootstrap})
for topic, future in admin.create_topics([NewTopic('confluent', 2, 1, config={'retention.ms': '-1'})]).items():
    future.result(20)
delivered = []
for codec in codecs:
    producer = Producer({'bootstrap.servers': bootstrap, 'compression.codec': codec, 'enable.idempotence': True})
    for i in range(200):
        producer.produce('confluent', partition=i % 2, key='%s-%d' % (codec, i), value=b'v' * i,
                         headers=[('codec', codec.encode())], on_delivery=lambda e, m: delivered.append(e))
        producer.poll(0)
    assert producer.flush(20) == 0
assert delivered == [None] * 1000, delivered
consumer = Consumer({'bootstrap.servers': bootstrap, 'group.id': 'unused', 'enable.auto.commit': False})
consumer.assign([TopicPartition('confluent', p, OFFSET_BEGINNING) for p in range(2)])
seen = {0: [], 1: []}
while len(seen[0]) + len(seen[1]) < 1000:
    message = consumer.poll(20)
    assert message is not None and message.error() is None, message and message.error()
    seen[message.partition()].append((message.offset(), message.key(), message.value(), message.headers()))
for p in range(2):
    wanted = [('%s-%d' % (c, i), b'v' * i, c) for c in codecs for i in range(p, 200, 2)]
    wanted = [(o, k.encode(), v, [('codec', c.encode())]) for o, (k, v, c) in enumerate(wanted)]
    assert seen[p] == wanted, seen[p][:3]
assert consumer.get_watermark_offsets(TopicPartition('confluent', 0), timeout=20) == (0, 500)
times = consumer.offsets_for_times([TopicPartition('confluent', 0, 1)], timeout=20)
assert times[0].offset == 0, times
consumer.close()
for _, future in admin.create_partitions([NewPartitions('confluent', 3)]).items():
    future.result(20)
resource = ConfigResource(ConfigResource.Type.TOPIC, 'confluent')
for _, future in admin.describe_configs([resource]).items():
    assert future.result(20)['retention.ms'].value == '-1'
print(len(admin.list_topics(timeout=20).topics['confluent'].partitions))
for _, future in admin.delete_topics(['confluent']).items():
    future.result(20)
print('ok')
`

t.test('python3-confluent-kafka produces, consumes and administers', { skip }, async t => {
  await using broker = await spawnBroker()
  const outcome = await run('/usr/bin/python3', ['-c', script, broker.bootstrap])
  t.equal(outcome.code, 0, outcome.stderr)
  t.equal(outcome.stdout.toString(), '3\nok\n')
})
