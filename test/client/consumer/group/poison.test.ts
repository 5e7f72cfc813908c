/** What becomes of a record whose handler fails: it stops the run, is skipped, tried again, or buried elsewhere. */
import t from 'tap'
import { type SkippedEvent } from '../../../../client/index.ts'
import { until } from '../../../helpers/until.ts'
import { numbers, producer, setUp } from './stage.ts'

t.test('poison: a record whose handler fails', async t => {
  t.test('stop: the run fails with the error, and the record comes again', async t => {
    const stage = await setUp(t, 1, 'classic')
    await stage.fill(5)
    const consumer = await stage.join()
    const eachMessage = ({ value }: { value: Buffer | null }): void => {
      if (String(value) === '3') throw new Error('cannot digest')
    }
    await t.rejects(consumer.run({ eachMessage }), { message: 'cannot digest' })
    t.same(await stage.committed(), [3])
  })

  t.test('skip: it is told, and the rest goes on', async t => {
    const stage = await setUp(t, 1, 'classic')
    await stage.fill(5)
    const consumer = await stage.join()
    const skipped: SkippedEvent[] = []
    consumer.on('skipped', event => skipped.push(event))
    const seen: number[] = []
    void consumer.run({
      onError: 'skip',
      eachMessage: ({ value }) => {
        if (String(value) === '3') throw new Error('cannot digest')
        seen.push(Number(value))
      },
    })
    await until(() => seen.length === 4, 'the others')
    t.match(skipped, [{ offset: 3, attempts: 1, error: { message: 'cannot digest' } }])
  })

  t.test('retry: until it works, in order', async t => {
    const stage = await setUp(t, 1, 'classic')
    await stage.fill(5)
    const consumer = await stage.join()
    const seen: number[] = []
    let failures = 0
    void consumer.run({
      onError: { attempts: 10, initialBackoffMs: 1 },
      eachMessage: ({ value }) => {
        if (String(value) === '3' && failures++ < 4) throw new Error('not yet')
        seen.push(Number(value))
      },
    })
    await until(() => seen.length === 5, 'all')
    t.same(seen, numbers(5))
    t.equal(failures, 5)
  })

  t.test('dead letter: a copy with its history goes to another topic', async t => {
    const stage = await setUp(t, 1, 'classic')
    const dead = await setUp(t, 1, 'classic')
    await producer.send({
      topic: stage.topic,
      messages: [{ key: 'k', value: 'bad', headers: { h: ['1', '2'] } }],
    })
    const consumer = await stage.join()
    const skipped = new Promise<SkippedEvent>(resolve => consumer.once('skipped', resolve))
    void consumer.run({
      onError: { attempts: 2, initialBackoffMs: 1, giveUp: { deadLetter: dead.topic } },
      eachMessage: () => {
        throw new Error('cannot digest')
      },
    })
    t.match(await skipped, { attempts: 2, deadLetter: dead.topic })
    const graves = await dead.join()
    for await (const message of graves.messages()) {
      t.same([String(message.key), String(message.value)], ['k', 'bad'])
      t.same(
        message.headers.map(({ key, value }) => `${key}=${String(value)}`),
        [
          'h=1',
          'h=2',
          `sluice.dead-letter.topic=${stage.topic}`,
          'sluice.dead-letter.partition=0',
          'sluice.dead-letter.offset=0',
          'sluice.dead-letter.error=Error: cannot digest',
        ],
      )
      break
    }
  })
})
