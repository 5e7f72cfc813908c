/** Which protocol a consumer takes, and how members of both, or of cooperative assignors, get on in one group. */
import t from 'tap'
import { delay } from '../../../../broker/testing.ts'
import { type StalledEvent } from '../../../../client/index.ts'
import { until } from '../../../helpers/until.ts'
import { broker, FAST, kafka, numbers, reader, setUp, sorted } from './stage.ts'

t.test('auto: the consumer protocol where the broker has it, unless assignors are named', async t => {
  const stage = await setUp(t, 1, 'classic')
  const protocols: string[] = []
  for (const options of [{}, { assignors: ['range'] as const }]) {
    const consumer = kafka.consumer({ groupId: `${stage.groupId} ${protocols.length}`, ...FAST, ...options })
    consumer.on('joined', event => protocols.push(event.protocol))
    await consumer.subscribe({ topics: [stage.topic] })
    const { done } = reader(consumer)
    await until(() => consumer.assignment.length === 1, 'joined')
    await consumer.close()
    await done
  }
  t.same([...new Set(protocols)], ['consumer', 'classic'])
})

t.test('a consumer that does not get into its group says so', { skip: broker === null }, async t => {
  const stage = await setUp(t, 1, 'classic')
  const hanging = broker!.intercept('JoinGroup', () => delay(400))
  const consumer = await stage.join({ stalledAfterMs: 80 })
  const stalled = new Promise<StalledEvent>(resolve => consumer.once('stalled', resolve))
  const { done } = reader(consumer)
  t.match(await stalled, { reason: 'group', partitions: [] })
  hanging.stop()
  await until(() => consumer.assignment.length === 1, 'joined in the end')
  await consumer.close()
  await done
})

t.test('cooperatively only what moves stops', async t => {
  const stage = await setUp(t, 4, 'classic')
  const first = await stage.join({ assignors: ['cooperative-sticky'] })
  const a = reader(first)
  await until(() => first.assignment.length === 4, 'all')
  const revoked: number[] = []
  first.on('revoked', places => revoked.push(...places.map(({ partition }) => partition)))
  const second = await stage.join({ assignors: ['cooperative-sticky'] })
  const b = reader(second)
  await until(() => second.assignment.length === 2, 'shared')
  t.equal(revoked.length, 2)
  await stage.fill(40)
  await until(() => a.seen.length + b.seen.length === 40, 'all is read')
})

t.test('members of both protocols share one group', async t => {
  const stage = await setUp(t, 4, 'consumer')
  const first = await stage.join({ protocol: 'classic', assignors: ['range'] })
  const a = reader(first)
  await until(() => first.assignment.length === 4, 'all')
  const second = await stage.join({ protocol: 'consumer' })
  const b = reader(second)
  await until(() => first.assignment.length === 2 && second.assignment.length === 2, 'shared')
  await stage.fill(100)
  await until(() => a.seen.length + b.seen.length === 100, 'all is read')
  t.same(sorted([...a.seen, ...b.seen]), numbers(100))
})
