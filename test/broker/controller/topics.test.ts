import t from 'tap'
import { ClusterImage } from '../../../broker/controller/image.ts'
import { type Change, MAX_STEP_SIZE } from '../../../broker/controller/records.ts'
import {
  decideCreatePartitions,
  decideCreateTopics,
  decideDeleteTopic,
  type Surroundings,
  type TopicCommand,
} from '../../../broker/controller/topics.ts'
import { errorName } from '../../../client/protocol/errors.ts'
import { type TopicId } from '../../../client/protocol/types.ts'

const surroundings: Surroundings = {
  brokers: [1],
  defaultPartitions: 3,
  defaultReplicationFactor: 1,
  configProblem: (name, text) => (name === 'retention.ms' && text !== 'bad' ? null : `no ${name}=${text}`),
}

let lastId = 0
function command(name: string, more: Partial<TopicCommand> = {}): TopicCommand {
  const topicId = (++lastId).toString(16).padStart(32, '0') as TopicId
  return { name, topicId, partitions: -1, replicationFactor: -1, assignments: [], configs: [], ...more }
}

let revision = 1
function carryOut(image: ClusterImage, change: Change): void {
  for (const { records } of change.steps) {
    revision++
    for (const record of records) image.apply(record, revision)
  }
}

function create(image: ClusterImage, ...commands: TopicCommand[]): string[] {
  return decideCreateTopics(image, commands, surroundings).map(decision => {
    if (decision.refusal !== null) return `${errorName(decision.refusal.error)}: ${decision.refusal.message}`
    carryOut(image, decision.change)
    return `${decision.partitionCount} partitions`
  })
}

t.test('a topic has the partitions and replicas that it asks for, or the defaults', t => {
  const image = new ClusterImage()
  t.same(create(image, command('a'), command('b', { partitions: 5, replicationFactor: 1 })), [
    '3 partitions',
    '5 partitions',
  ])
  t.same(image.topicNames(), ['a', 'b'])
  t.equal(image.topic('b')?.partitions.length, 5)
  t.match(image.topic('a')?.partitions[2], {
    partition: 2,
    leader: 1,
    leaderEpoch: 0,
    replicas: [1],
    isr: [1],
  })
  t.end()
})

t.test('names are checked as Kafka does', t => {
  const image = new ClusterImage()
  const long = 'x'.repeat(249)
  const names = [
    '',
    '.',
    '..',
    'a/b',
    '../etc',
    'ä',
    `${long}x`,
    '__cluster_metadata',
    '__sluice_metadata',
    '__proto__',
    long,
    'a.b',
  ]
  const outcomes = create(image, ...names.map(name => command(name))).map(outcome => outcome.split(':')[0])
  t.same(outcomes, [
    ...Array(7).fill('INVALID_TOPIC_EXCEPTION'),
    'INVALID_REQUEST',
    'INVALID_REQUEST',
    '3 partitions',
    '3 partitions',
    '3 partitions',
  ])
  t.same(create(image, command('a_b')), [
    "INVALID_TOPIC_EXCEPTION: Topic 'a_b' collides with existing topic: a.b",
  ])
  t.same(create(image, command('a.b')), ["TOPIC_ALREADY_EXISTS: Topic 'a.b' already exists."])
  t.end()
})

t.test('a name that stands twice in a request is refused each time, names that collide in it once', t => {
  const image = new ClusterImage()
  const outcomes = create(image, command('twice'), command('x.y'), command('twice'), command('x_y'))
  t.same(outcomes, [
    'INVALID_REQUEST: Duplicate topic name.',
    '3 partitions',
    'INVALID_REQUEST: Duplicate topic name.',
    "INVALID_TOPIC_EXCEPTION: Topic 'x_y' collides with existing topic: x.y",
  ])
  t.end()
})

t.test('numbers that cannot be are refused', t => {
  const image = new ClusterImage()
  const error = (more: Partial<TopicCommand>): string => create(image, command('t', more))[0]!.split(':')[0]!
  t.equal(error({ partitions: 0 }), 'INVALID_PARTITIONS')
  t.equal(error({ partitions: -2 }), 'INVALID_PARTITIONS')
  t.equal(error({ partitions: 10_001 }), 'POLICY_VIOLATION')
  t.equal(error({ replicationFactor: 0 }), 'INVALID_REPLICATION_FACTOR')
  t.equal(error({ replicationFactor: 2 }), 'INVALID_REPLICATION_FACTOR')
  t.equal(error({ configs: [{ name: 'retention.ms', value: 'bad' }] }), 'INVALID_CONFIG')
  t.equal(error({ configs: [{ name: 'retention.ms', value: null }] }), 'INVALID_CONFIG')
  t.end()
})

t.test('an assignment by hand stands for the numbers, and must be whole', t => {
  const image = new ClusterImage()
  const assign = (...replicas: number[][]) => ({
    assignments: replicas.map((list, partition) => ({ partition, replicas: list })),
  })
  t.same(create(image, command('m', assign([1], [1]))), ['2 partitions'])
  const error = (more: Partial<TopicCommand>): string => create(image, command('t', more))[0]!.split(':')[0]!
  t.equal(error({ ...assign([1]), partitions: 1 }), 'INVALID_REQUEST')
  t.equal(error({ ...assign([1]), replicationFactor: 1 }), 'INVALID_REQUEST')
  t.equal(error(assign([])), 'INVALID_REPLICA_ASSIGNMENT')
  t.equal(error(assign([2])), 'INVALID_REPLICA_ASSIGNMENT')
  t.equal(error(assign([1, 1])), 'INVALID_REPLICA_ASSIGNMENT')
  t.equal(error({ assignments: [{ partition: 1, replicas: [1] }] }), 'INVALID_REPLICA_ASSIGNMENT')
  t.equal(
    error({ assignments: [0, 0].map(partition => ({ partition, replicas: [1] })) }),
    'INVALID_REPLICA_ASSIGNMENT',
  )
  t.end()
})

t.test('a large topic is made in steps, and is seen with the last of them', t => {
  const image = new ClusterImage()
  const [decision] = decideCreateTopics(image, [command('large', { partitions: 300 })], surroundings)
  if (decision?.refusal !== null) return t.fail('it is made')
  t.equal(decision.change.steps.length, 4)
  for (const { conditions, records } of decision.change.steps) {
    t.ok(conditions.length + records.length <= MAX_STEP_SIZE)
    t.equal(image.topic('large'), undefined)
    for (const record of records) image.apply(record, 1)
  }
  t.equal(image.topic('large')?.partitions.length, 300)
  return t.end()
})

t.test('what a cut-short creation leaves behind is an orphan, and can be swept up', t => {
  const image = new ClusterImage()
  create(image, command('kept'))
  const [decision] = decideCreateTopics(image, [command('large', { partitions: 300 })], surroundings)
  if (decision?.refusal !== null) return t.fail('it is made')
  for (const record of decision.change.steps[0]!.records) image.apply(record, 9)
  t.equal(image.orphans().length, MAX_STEP_SIZE)
  for (const record of image.orphans()) image.apply(record, 10)
  t.same(image.orphans(), [])
  t.same(image.topicNames(), ['kept'])
  return t.end()
})

t.test('a deleted topic is gone with the first step, and its name can be taken again', t => {
  const image = new ClusterImage()
  create(image, command('t', { partitions: 300 }))
  const topic = image.topic('t')!
  const { steps } = decideDeleteTopic(topic)
  t.same(steps[0]!.conditions, [
    { type: 'topic-unchanged', topicId: topic.topicId, revision: topic.revision },
  ])
  for (const record of steps[0]!.records) image.apply(record, 20)
  t.equal(image.topic('t'), undefined)
  t.equal(image.topicById(topic.topicId), undefined)
  t.same(create(image, command('t')), ['3 partitions'])
  for (const step of steps.slice(1)) for (const record of step.records) image.apply(record, 21)
  t.equal(image.topic('t')?.partitions.length, 3)
  t.not(image.topic('t')?.topicId, topic.topicId)
  t.same(image.orphans(), [])
  t.end()
})

t.test('partitions can be added and never taken away', t => {
  const image = new ClusterImage()
  create(image, command('t'))
  const grow = (count: number, assignments: number[][] | null = null): string => {
    const decision = decideCreatePartitions(image.topic('t')!, { count, assignments }, surroundings)
    if (decision.refusal !== null) return `${errorName(decision.refusal.error)}: ${decision.refusal.message}`
    carryOut(image, decision.change)
    return `${image.topic('t')?.partitions.length} partitions`
  }
  t.equal(grow(3), 'INVALID_PARTITIONS: Topic already has 3 partition(s).')
  t.equal(
    grow(2),
    'INVALID_PARTITIONS: The topic t currently has 3 partition(s); 2 would not be an increase.',
  )
  t.equal(grow(4), '4 partitions')
  t.equal(grow(400), '400 partitions')
  t.match(grow(402, [[1]]), /^INVALID_REPLICA_ASSIGNMENT: Attempted to add 2 additional partition/)
  t.match(grow(401, [[7]]), /^INVALID_REPLICA_ASSIGNMENT/)
  t.equal(grow(401, [[1]]), '401 partitions')
  t.end()
})
