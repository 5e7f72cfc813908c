import t from 'tap'
import { pass, respond, startBroker } from '../../broker/testing.ts'
import { committedLag, partitionList } from '../../cli/group-offsets.ts'
import { GroupWatcher } from '../../cli/group-watch.ts'
import { Kafka } from '../../client/index.ts'

const signal = new AbortController().signal

t.test('partitions in few words', t => {
  t.equal(partitionList([]), '-')
  const places = [
    { topic: 'b', partition: 10 },
    { topic: 'a', partition: 0 },
    { topic: 'b', partition: 2 },
  ]
  t.equal(partitionList(places), 'b:2,10 a:0')
  t.end()
})

t.test('offsets of a topic that is gone do not hide the others', async t => {
  await using broker = await startBroker({ topics: { orders: 2 } })
  await using kafka = new Kafka({ brokers: broker.bootstrap })
  const admin = kafka.admin()
  await kafka.producer().send({ topic: 'orders', messages: [{ value: 'x', partition: 1 }] })
  await admin.setOffsets({ groupId: 'g', offsets: [{ topic: 'orders', partition: 1, offset: 0 }] })
  t.match(await committedLag(admin, 'g', signal), { lags: [{ partition: 1, lag: 1 }], gone: [] })
  t.same(await committedLag(admin, 'nobody', signal), { lags: [], gone: [] })

  // As a broker answers that keeps such offsets until they expire.
  const place = {
    partitionIndex: 1,
    committedOffset: 0,
    committedLeaderEpoch: -1,
    metadata: '',
    errorCode: 0,
  }
  const stale = { ...place, committedOffset: 7 }
  broker.intercept('OffsetFetch', request =>
    request.groups[0]?.topics === null
      ? respond({
          groups: [
            {
              groupId: 'g',
              topics: [
                { name: 'deleted', partitions: [stale] },
                { name: 'orders', partitions: [place] },
              ],
              errorCode: 0,
            },
          ],
        })
      : pass(),
  )
  const found = await committedLag(admin, 'g', signal)
  t.same(found.gone, ['deleted'])
  t.match(found.lags, [{ topic: 'orders', partition: 1, lag: 1 }])
  t.equal(found.lags.length, 1, 'and not the partition without a commit')

  const [look] = await new GroupWatcher(admin, ['g']).look(signal)
  t.match(look, { partitions: 2, lag: 1 })
  t.match(look?.places, [
    { topic: 'deleted', end: null, lag: null },
    { topic: 'orders', lag: 1 },
  ])
})
