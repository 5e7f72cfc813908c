/** Reading a whole partition: in order, in slices, and of transactions only what was committed. */
import t from 'tap'
import { ReplayError, replayPartition } from '../../../broker/runtime/replay-partition.ts'
import { Slices } from '../../../broker/runtime/slices.ts'
import { encodeBatch, encodeMarkerBatch } from '../../../client/protocol/record.ts'
import { type Offset, type ProducerEpoch, type ProducerId } from '../../../client/protocol/types.ts'
import { assignment, host, type Life, produce, start } from './harness.ts'

/** Appends as the broker itself. */
function append(life: Life, batch: Buffer): Promise<number> {
  const to = host(life)
  return new Promise(resolve => to.append(batch, to.state.logEndOffset, ({ error }) => resolve(error)))
}

async function values(life: Life, isWanted = () => true): Promise<string[] | null> {
  const seen: string[] = []
  const isComplete = await replayPartition({
    host: host(life),
    endOffset: host(life).state.logEndOffset,
    slices: new Slices(life.env),
    isWanted,
    onRecord: ({ offset, value }) => void seen.push(`${offset}:${value?.toString()}`),
  })
  return isComplete ? seen : null
}

t.test('every record comes once, in order, from the log start to the end', async t => {
  const life = await start()
  t.teardown(() => life.stop())
  t.same(await values(life), [])
  await produce(host(life), ['a', 'b'])
  await produce(host(life), ['c', 'd'])
  t.same(await values(life), ['0:a', '1:b', '2:c', '3:d'])
  await host(life).deleteRecords(1)
  t.same(await values(life), ['1:b', '2:c', '3:d'])
})

t.test('more than one read brings, and compressed batches', async t => {
  const life = await start()
  t.teardown(() => life.stop())
  const large = 'x'.repeat(300_000)
  for (let index = 0; index < 8; index++)
    await produce(host(life), [large, 'small'], { codec: index % 2 ? 'gzip' : 'none' })
  const seen = await values(life)
  t.equal(seen?.length, 16)
  t.equal(seen?.at(-1), '15:small')
})

t.test('records of a transaction come with its commit, and not at all when it was aborted', async t => {
  const life = await start()
  t.teardown(() => life.stop())
  const transactional = (id: bigint, value: string) =>
    encodeBatch([{ value, timestamp: 1 }], {
      producerId: id as ProducerId,
      producerEpoch: 0 as ProducerEpoch,
      baseSequence: 0,
      isTransactional: true,
    })
  const marker = (id: bigint, type: 'commit' | 'abort') =>
    encodeMarkerBatch({
      type,
      coordinatorEpoch: 0,
      producerId: id as ProducerId,
      producerEpoch: 0 as ProducerEpoch,
      timestamp: 1,
    })
  const logged: Buffer[] = [
    transactional(1n, 'committed'),
    transactional(2n, 'aborted'),
    transactional(3n, 'open'),
    encodeBatch([{ value: 'plain', timestamp: 1 }]),
    marker(2n, 'abort'),
    marker(1n, 'commit'),
  ]
  // As a log may hold them; the checks of produced transactions are not at stake here.
  const slices = logged.map((batch, index) => {
    batch.writeBigInt64BE(BigInt(index), 0)
    return batch
  })
  const outcome = { error: 0, slices, byteLength: 1, release: () => {} }
  const fake = {
    name: 'fake-0',
    state: { logStartOffset: 0 },
    read: () => outcome,
  }
  const seen: string[] = []
  await replayPartition({
    host: fake as never,
    endOffset: logged.length as Offset,
    slices: new Slices(life.env),
    isWanted: () => true,
    onRecord: ({ value }) => void seen.push(value?.toString() ?? ''),
  })
  t.same(seen, ['plain', 'committed'])
})

t.test('what is not committed yet is waited for', async t => {
  const life = await start()
  t.teardown(() => life.stop())
  const release = life.env.disk.hold('sync', /orders-0/)
  const producing = produce(host(life), ['a'])
  await life.env.clock.settle()
  let done = false
  const reading = values(life).finally(() => (done = true))
  await life.env.clock.settle()
  t.notOk(done)
  release()
  t.same(await reading, ['0:a'])
  await producing
})

t.test('others have their turn between slices, and may end it', async t => {
  const life = await start({ assignments: [assignment()] })
  t.teardown(() => life.stop())
  await produce(
    host(life),
    Array.from({ length: 100 }, (_, index) => String(index)),
  )
  let turns = 0
  let isWanted = true
  const seen: number[] = []
  const reading = replayPartition({
    host: host(life),
    endOffset: host(life).state.logEndOffset,
    slices: new Slices(life.env),
    isWanted: () => isWanted,
    onRecord: ({ offset }) => {
      seen.push(offset)
      // Each record takes a tenth of a millisecond.
      life.env.clock.skip(0.1)
    },
  })
  const count = (): void => {
    turns += 1
    if (turns === 2) isWanted = false
    else life.env.timers.endOfTurn(count)
  }
  life.env.timers.endOfTurn(count)
  t.equal(await reading, false)
  t.ok(seen.length >= 32 && seen.length < 100, `${seen.length} records in two slices`)
})

t.test('a partition that is gone cannot be read', async t => {
  const life = await start()
  t.teardown(() => life.stop())
  await produce(host(life), ['a'])
  const gone = host(life)
  await life.manager.delete(gone.topicId, 0)
  const reading = replayPartition({
    host: gone,
    endOffset: 1 as Offset,
    slices: new Slices(life.env),
    isWanted: () => true,
    onRecord: () => {},
  })
  await t.rejects(reading, ReplayError)
})

t.test('an internal batch goes where it was meant to', async t => {
  const life = await start()
  t.teardown(() => life.stop())
  t.equal(await append(life, encodeBatch([{ value: 'mine', timestamp: 1 }])), 0)
  t.same(await values(life), ['0:mine'])
})
