/**
 * Consumers of groups against a whole broker, in both protocols: who reads what, what is committed when, and what
 * becomes of work in hand when partitions move. With SLUICE_TEST_BOOTSTRAP it is held against another broker.
 */
import t from 'tap'
import { delay, error as failWith } from '../../../../broker/testing.ts'
import { type KafkaError, type StalledEvent } from '../../../../client/index.ts'
import { until } from '../../../helpers/until.ts'
import {
  admin,
  broker,
  FAST,
  gate,
  kafka,
  numbers,
  owned,
  PROTOCOLS,
  producer,
  reader,
  SESSION_MS,
  setUp,
  sorted,
} from './stage.ts'

for (const protocol of PROTOCOLS) {
  t.test(`${protocol} protocol`, async t => {
    t.test('members share the partitions, every record comes once, and who goes is replaced', async t => {
      const stage = await setUp(t, 6, protocol)
      await stage.fill(600)
      const first = await stage.join()
      const a = reader(first, 3)
      await until(() => a.seen.length === 600, 'all is read by one')
      const second = await stage.join()
      const b = reader(second, 3)
      await until(() => first.assignment.length === 3 && second.assignment.length === 3, 'they share')
      await stage.fill(600)
      await until(() => a.seen.length + b.seen.length === 1200, 'the rest is read by both')
      t.ok(b.seen.length === 300)
      await first.close()
      await a.done
      await until(() => second.assignment.length === 6, 'the other takes over')
      await stage.fill(60)
      await until(() => a.seen.length + b.seen.length === 1260, 'all is read')
      await second.close()
      await b.done
      t.same(sorted([...a.seen, ...b.seen]), numbers(1260), 'every record once')
      t.same(await stage.committed(), Array(6).fill(210), 'and committed')
    })

    t.test('a group goes on where it has committed, whoever is in it', async t => {
      const stage = await setUp(t, 1, protocol)
      await stage.fill(10)
      const seen: number[] = []
      for (let round = 0; round < 3; round++) {
        const consumer = await stage.join()
        for await (const message of consumer.messages()) {
          seen.push(Number(message.value))
          message.ack()
          if (seen.length % 3 === 0) break
        }
        await consumer.close()
      }
      t.same(seen, numbers(9))
      t.same(await stage.committed(), [9])
    })

    t.test('what was handed out but not acknowledged comes again', async t => {
      const stage = await setUp(t, 1, protocol)
      await stage.fill(10)
      const consumer = await stage.join()
      const acks: (() => void)[] = []
      for await (const message of consumer.messages()) {
        acks.push(() => message.ack())
        if (acks.length < 6) continue
        // Out of order, and one is missing.
        for (const index of [4, 0, 2, 1]) acks[index]!()
        break
      }
      t.same(await stage.committed(), [3], 'up to the first that is not done')
      const again: number[] = []
      for await (const { value } of consumer.messages()) if (again.push(Number(value)) === 7) break
      t.same(again, numbers(7, 3))
    })

    t.test('batches are committed whole', async t => {
      const stage = await setUp(t, 1, protocol)
      await stage.fill(5)
      await stage.fill(5)
      const consumer = await stage.join({ autoCommit: false })
      for await (const batch of consumer.batches()) {
        await batch.commit()
        t.same(await stage.committed(), [5])
        break
      }
      t.same(await stage.committed(), [5])
    })

    t.test('commits by hand: what is processed, or a given offset with metadata', async t => {
      const stage = await setUp(t, 2, protocol)
      await stage.fill(20)
      const consumer = await stage.join({ autoCommit: false })
      const { topic } = stage
      let count = 0
      const run = consumer.run({
        eachMessage: async () => {
          if (++count < 20) return
          await consumer.commit()
        },
      })
      await until(
        async () => (await stage.committed()).every(offset => offset >= 9),
        'processed is committed',
      )
      t.same(sorted(await stage.committed()), [9, 10], 'the record in hand is not processed')
      await consumer.commit([{ topic, partition: 1, offset: 4, metadata: 'by hand' }])
      t.match(await consumer.committed([{ topic, partition: 1 }]), [{ offset: 4, metadata: 'by hand' }])
      await t.rejects(consumer.commit([{ topic, partition: 7, offset: 1 }]), { code: 'INVALID_OPTION' })
      await consumer.close()
      await run
      t.equal((await stage.committed())[1], 4, 'nothing is committed behind the application’s back')
    })

    t.test('processed records are committed every now and then', async t => {
      const stage = await setUp(t, 1, protocol)
      const consumer = await stage.join({ autoCommitIntervalMs: 20 })
      const { seen } = reader(consumer)
      await stage.fill(7)
      await until(() => seen.length === 7, 'read')
      await until(async () => (await stage.committed())[0] === 7, 'committed')
    })

    t.test(
      'a position that was looked up is committed too: nobody skips what comes before the first record',
      async t => {
        const stage = await setUp(t, 1, protocol)
        await stage.fill(5)
        const consumer = kafka.consumer({ groupId: stage.groupId, protocol, ...FAST })
        await consumer.subscribe({ topics: [stage.topic], from: 'latest' })
        const { done } = reader(consumer)
        await until(() => consumer.assignment[0]?.position === 5, 'placed at the end')
        await consumer.close()
        await done
        t.same(await stage.committed(), [5])
      },
    )

    t.test("from 'committed' and nothing is: an error, not a guess", async t => {
      const stage = await setUp(t, 1, protocol)
      const consumer = kafka.consumer({ groupId: stage.groupId, protocol, ...FAST })
      t.teardown(() => consumer.close())
      await consumer.subscribe({ topics: [stage.topic], from: 'committed' })
      await t.rejects(consumer.run({ eachMessage: () => {} }), { code: 'NO_COMMITTED_OFFSET' })
    })

    t.test('partitions that are taken away: the record in hand is finished and committed first', async t => {
      const stage = await setUp(t, 2, protocol)
      await stage.fill(20)
      const slow = await stage.join()
      const hold = gate()
      const seenBySlow: number[] = []
      const run = slow.run({
        concurrency: 2,
        eachMessage: async ({ value }) => {
          seenBySlow.push(Number(value))
          if (seenBySlow.length >= 4) await hold.passed
        },
      })
      await until(() => seenBySlow.length >= 4, 'records are in hand')
      const other = await stage.join()
      const b = reader(other)
      const revoked = new Promise(resolve => slow.once('revoked', resolve))
      await until(() => b.seen.length === 0 && slow.assignment.length === 2, 'nothing moves yet')
      hold.open()
      await revoked
      await until(() => slow.assignment.length === 1 && other.assignment.length === 1, 'shared')
      await until(() => seenBySlow.length + b.seen.length === 20, 'all is read')
      t.same(
        sorted([...seenBySlow, ...b.seen]),
        numbers(20),
        'every record once, though many were fetched ahead',
      )
      await slow.close()
      await run
    })

    t.test('a slow handler stays a member, and a hung one is told of', async t => {
      const stage = await setUp(t, 1, protocol)
      await stage.fill(2)
      const consumer = await stage.join({ stalledAfterMs: 80, sessionTimeoutMs: SESSION_MS })
      const hold = gate()
      const stalls: StalledEvent[] = []
      let lost = false
      consumer.on('stalled', event => stalls.push(event))
      consumer.on('lost', () => {
        lost = true
      })
      const run = consumer.run({ eachMessage: () => hold.passed })
      await until(() => stalls.length > 0, 'told of')
      t.match(stalls, [{ reason: 'handler', partitions: [{ partition: 0 }] }])
      // Longer than the session timeout, and with heartbeats the only sign of life.
      const beats = performance.now()
      await until(() => performance.now() - beats > SESSION_MS + 400, 'the session timeout is over')
      t.notOk(lost)
      hold.open()
      await consumer.close()
      await run
      t.ok(((await stage.committed())[0] ?? 0) >= 1, 'its commit is taken')
    })

    t.test('paused partitions stay paused over a rebalance, and keep their place', async t => {
      const stage = await setUp(t, 4, protocol)
      const first = await stage.join()
      const a = reader(first)
      await until(() => first.assignment.length === 4, 'all')
      first.pause()
      const second = await stage.join()
      const b = reader(second)
      await until(() => first.assignment.length === 2 && second.assignment.length === 2, 'shared')
      await stage.fill(40)
      await until(() => b.seen.length === 20, 'the other reads its part')
      t.same(a.seen, [])
      t.ok(first.assignment.every(({ paused }) => paused))
      first.resume()
      await until(() => a.seen.length === 20, 'resumed')
    })

    t.test('a seek in the assigned event comes before what is committed', async t => {
      const stage = await setUp(t, 1, protocol)
      await stage.fill(10)
      await admin.setOffsets({
        groupId: stage.groupId,
        offsets: [{ topic: stage.topic, partition: 0, offset: 2 }],
      })
      const consumer = await stage.join()
      consumer.on('assigned', ([place]) => void consumer.seek({ ...place!, offset: 8 }))
      const { seen } = reader(consumer)
      await until(() => seen.length === 2, 'the last two')
      t.same(seen, [8, 9])
    })

    t.test('patterns match topics that are made later', async t => {
      const stage = await setUp(t, 1, protocol)
      const consumer = kafka.consumer({ groupId: stage.groupId, protocol, ...FAST })
      t.teardown(() => consumer.close())
      const prefix = `pattern-${process.pid}-${Date.now()}`
      const make = async (name: string): Promise<void> => {
        await admin.createTopics({ topics: [{ topic: name, partitions: 1, replicationFactor: 1 }] })
        await producer.send({ topic: name, messages: [{ value: name }] })
      }
      await make(`${prefix}-a`)
      await make(`other-${prefix}`)
      // Written so that the lookahead, which RE2 has not, must be matched by the client.
      const pattern = protocol === 'classic' ? new RegExp(`^${prefix}-(?!x)`) : new RegExp(`^${prefix}-[a-w]`)
      await consumer.subscribe({ topics: [pattern], from: 'earliest' })
      const seen: string[] = []
      void consumer.run({ eachMessage: ({ value }) => void seen.push(String(value)) })
      await until(() => seen.length === 1, 'the first')
      await make(`${prefix}-x`)
      await make(`${prefix}-b`)
      if (broker !== null || protocol === 'classic') await until(() => seen.length === 2, 'the later one')
      t.same(seen, [`${prefix}-a`, `${prefix}-b`].slice(0, seen.length))
    })

    t.test('a pattern, from the start or added later, reads no internal topics', async t => {
      const stage = await setUp(t, 1, protocol)
      const consumer = kafka.consumer({ groupId: stage.groupId, protocol, ...FAST })
      t.teardown(() => consumer.close())
      const places = (): string[] => consumer.assignment.map(({ topic }) => topic)
      await consumer.subscribe({ topics: [new RegExp(`^${stage.topic}$`)], from: 'earliest' })
      reader(consumer)
      await until(() => places().length === 1, 'joined')
      const more = `${stage.topic}-more`
      await admin.createTopics({ topics: [{ topic: more, partitions: 1, replicationFactor: 1 }] })
      await consumer.subscribe({ topics: [new RegExp(`consumer_offsets|^${more}$`)], from: 'earliest' })
      if (protocol === 'consumer') await until(() => places().length === 2, 'both')
      t.same(places().sort(), [stage.topic, more].slice(0, places().length))
      await consumer.close()

      const second = kafka.consumer({ groupId: `${stage.groupId}-2`, protocol, ...FAST })
      t.teardown(() => second.close())
      await second.subscribe({ topics: [new RegExp(`consumer_offsets|^${stage.topic}`)] })
      reader(second)
      await until(() => second.assignment.length > 0, 'joined')
      t.same(second.assignment.map(({ topic }) => topic).sort(), [stage.topic, more])
    })

    t.test('partitions that are added are dealt out', async t => {
      const stage = await setUp(t, 1, protocol)
      const consumer = await stage.join()
      const { seen } = reader(consumer)
      await until(() => consumer.assignment.length === 1, 'one')
      await admin.createPartitions({ topics: [{ topic: stage.topic, count: 3 }] })
      await until(() => consumer.assignment.length === 3, 'three')
      await producer.send({ topic: stage.topic, messages: [{ partition: 2, value: '7' }] })
      await until(() => seen.length === 1, 'read')
    })

    t.test(
      'a static member that comes back gets what it had, without a rebalance for the others',
      async t => {
        const stage = await setUp(t, 2, protocol)
        const names = ['one', 'two']
        const [one, two] = await Promise.all(names.map(groupInstanceId => stage.join({ groupInstanceId })))
        const a = reader(one!)
        const b = reader(two!)
        await until(() => one!.assignment.length === 1 && two!.assignment.length === 1, 'shared')
        const before = owned(two!)
        let disturbed = 0
        one!.on('revoked', () => disturbed++)
        await two!.close()
        await b.done
        await stage.fill(10)
        const back = await stage.join({ groupInstanceId: 'two' })
        const c = reader(back)
        await until(() => c.seen.length === 5 && a.seen.length === 5, 'all is read')
        t.equal(owned(back), before)
        t.equal(disturbed, 0)
      },
    )

    t.test('leaving an iterator leaves the group', async t => {
      const stage = await setUp(t, 2, protocol)
      await stage.fill(2)
      const consumer = await stage.join()
      for await (const message of consumer.messages()) {
        message.ack()
        break
      }
      const [group] = await admin.describeGroups({ groups: [stage.groupId] })
      t.same([group!.state, group!.members.length], ['Empty', 0])
      t.same(consumer.assignment, [])
    })

    t.test(
      'a coordinator that fails for a while costs nothing but time',
      { skip: broker === null },
      async t => {
        const stage = await setUp(t, 2, protocol)
        await stage.fill(4)
        const failing = (['FindCoordinator', 'OffsetFetch', 'OffsetCommit'] as const).map(api =>
          broker!.intercept(api, () => failWith('COORDINATOR_NOT_AVAILABLE')),
        )
        const consumer = await stage.join()
        const problems: KafkaError[] = []
        consumer.on('retry', problem => problems.push(problem))
        const { seen, done } = reader(consumer)
        await until(() => problems.length >= 3, 'it is told')
        for (const each of failing) each.stop()
        await until(() => seen.length === 4, 'all is read')
        await consumer.close()
        await done
        t.same(await stage.committed(), [2, 2])
      },
    )

    t.test(
      'expelled members stop reading at once, commit nothing, and come back',
      { skip: broker === null },
      async t => {
        const stage = await setUp(t, 1, protocol)
        await stage.fill(3)
        const consumer = await stage.join({ autoCommitIntervalMs: 60_000, sessionTimeoutMs: 300 })
        const { seen } = reader(consumer)
        await until(() => seen.length === 3, 'read')
        const lost: KafkaError[] = []
        consumer.on('lost', (_, reason) => lost.push(reason))
        const api = protocol === 'classic' ? 'Heartbeat' : 'ConsumerGroupHeartbeat'
        const expelling = broker!.intercept(api, () => failWith('UNKNOWN_MEMBER_ID'))
        await until(() => lost.length > 0, 'lost')
        // To the coordinator, which was not asked, the old member goes on until its session ends.
        expelling.stop()
        t.equal(lost[0]!.code, 'UNKNOWN_MEMBER_ID')
        await until(() => seen.length === 6, 'read again from the last commit')
        t.same(seen, [0, 1, 2, 0, 1, 2])
      },
    )

    t.test('a commit that comes too late is refused and says so', { skip: broker === null }, async t => {
      const stage = await setUp(t, 1, protocol)
      await stage.fill(3)
      const consumer = await stage.join({ autoCommit: false })
      const refusing = broker!.intercept('OffsetCommit', () => failWith('UNKNOWN_MEMBER_ID'))
      const outcome = new Promise<KafkaError>(resolve => {
        void consumer.run({
          eachMessage: ({ topic, partition }) => {
            void consumer.commit([{ topic, partition, offset: 1 }]).catch(resolve)
          },
        })
      })
      const failure = await outcome
      refusing.stop()
      t.ok(failure.code === 'COMMIT_FAILED' || failure.errors[0]?.code === 'COMMIT_FAILED', failure.message)
    })

    t.test('an answer that is late does not make a member leave', { skip: broker === null }, async t => {
      const stage = await setUp(t, 1, protocol)
      const consumer = await stage.join()
      const { seen } = reader(consumer)
      await until(() => consumer.assignment.length === 1, 'joined')
      let lost = false
      consumer.on('lost', () => {
        lost = true
      })
      const slowing = broker!.intercept('OffsetCommit', () => delay(200))
      await stage.fill(3)
      await until(() => seen.length === 3, 'read')
      await consumer.commit()
      slowing.stop()
      t.notOk(lost)
      t.same(await stage.committed(), [3])
    })
  })
}
