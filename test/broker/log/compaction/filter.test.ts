import { readFileSync } from 'node:fs'
import t from 'tap'
import { readBatchHeader } from '../../../../client/protocol/batch.ts'
import { provideFileReader } from '../../../../client/protocol/compression/zstd.ts'
import { type CodecName } from '../../../../client/protocol/compression.ts'
import { decodeRecords } from '../../../../client/protocol/record.ts'
import { batch, compact, describe, marker } from './script.ts'

provideFileReader(path => readFileSync(path))

t.test('of each key the last record survives, at its offset', t => {
  const { log } = compact([batch(0, 'a=1 b=1 a=2'), batch(3, 'c=1'), batch(4, 'b=2 d=1')])
  t.same(log, ['0-2 a@2=2', '3-3 c@3=1', '4-5 b@4=2 d@5=1'])
  t.end()
})

t.test('a batch of which nothing is lost is not touched, one of which all is lost goes', t => {
  const { log, untouched } = compact([batch(0, 'a=1'), batch(1, 'b=1 c=1'), batch(3, 'a=2')])
  t.same(log, ['1-2 b@1=1 c@2=1', '3-3 a@3=2'])
  t.equal(untouched, 2)
  t.end()
})

t.test('records without a key go', t => {
  t.same(compact([batch(0, '=1 a=1 =2')]).log, ['0-2 a@1=1'])
  t.end()
})

t.test('keys that are clean are replaced by dirty ones, and by no others', t => {
  const { log } = compact([batch(0, 'a=1 b=1'), batch(2, 'b=2 a=2')], { firstDirtyOffset: 2 })
  t.same(log, ['2-3 b@2=2 a@3=2'])
  t.end()
})

t.test('beyond a full map everything stays, and the next compaction goes on from there', t => {
  const whole = [batch(0, 'a=1 b=1'), batch(2, 'a=2 c=1 a=3'), batch(5, 'b=2')]
  const first = compact(whole, { mapSize: 2 })
  t.same(first.log, ['0-1 b@1=1', '2-4 a@2=2 c@3=1 a@4=3', '5-5 b@5=2'])
  t.equal(first.cleanedTo, 3)
  const second = compact(first.batches, { firstDirtyOffset: first.cleanedTo })
  t.same(second.log, ['2-4 c@3=1 a@4=3', '5-5 b@5=2'])
  t.equal(second.cleanedTo, 6)
  t.end()
})

t.test('a tombstone gets its horizon when it is first seen, and goes when that is over', t => {
  const options = { nowMs: 5000, deleteRetentionMs: 100 }
  const first = compact([batch(0, 'a=1 b=1'), batch(2, 'a=- c=1', { timestamp: 42 })], options)
  t.same(first.log, ['0-1 b@1=1', '2-3 until:5100 a@2=- c@3=1'])
  t.equal(first.nextHorizonMs, 5100)
  t.same(
    decodeRecords(first.batches[1]!).map(record => record.timestamp),
    [42, 43],
    'timestamps are what they were',
  )
  t.equal(readBatchHeader(first.batches[1]!, 0).maxTimestamp, 43)

  const second = compact(first.batches, { ...options, nowMs: 5099, firstDirtyOffset: 4 })
  t.same(second.log, first.log, 'the horizon is set once')
  t.equal(second.untouched, 2)
  const held = { ...options, nowMs: 9000, dueHorizonMs: 5099, firstDirtyOffset: 4 }
  t.same(compact(second.batches, held).log, first.log, 'horizons are held back')
  const third = compact(second.batches, { ...options, nowMs: 5100, firstDirtyOffset: 4 })
  t.same(third.log, ['0-1 b@1=1', '2-3 until:5100 c@3=1'])
  t.equal(third.nextHorizonMs, Infinity)
  t.end()
})

t.test('a tombstone beyond the map has no horizon yet', t => {
  const { log } = compact([batch(0, 'a=1 b=-')], { mapSize: 1, nowMs: 5000 })
  t.same(log, ['0-1 a@0=1 b@1=-'])
  t.end()
})

t.test('a tombstone that is replaced goes at once', t => {
  t.same(compact([batch(0, 'a=1'), batch(1, 'a=-'), batch(2, 'a=2')]).log, ['2-2 a@2=2'])
  t.end()
})

for (const codec of ['gzip', 'snappy', 'lz4', 'zstd'] as const satisfies readonly CodecName[]) {
  t.test(`a batch compressed with ${codec} stays so`, t => {
    const { batches, log } = compact([batch(0, 'a=1 b=1 c=-', { codec }), batch(3, 'a=2', { codec })], {
      nowMs: 900,
    })
    t.same(log, ['0-2 until:1000 b@1=1 c@2=-', '3-3 a@3=2'])
    t.equal(readBatchHeader(batches[0]!, 0).codecId, readBatchHeader(batch(0, 'a=1', { codec }), 0).codecId)
    t.end()
  })
}

t.test('with LogAppendTime the time of the batch stays that of its append', t => {
  const { batches } = compact([batch(0, 'a=1 b=-', { logAppendTimeMs: 777 }), batch(2, 'a=2')], {
    nowMs: 900,
  })
  const header = readBatchHeader(batches[0]!, 0)
  t.equal(header.maxTimestamp, 777)
  t.ok(header.isLogAppendTime)
  t.same(
    decodeRecords(batches[0]!).map(record => record.timestamp),
    [777],
  )
  t.end()
})

t.test('far timestamps survive a horizon', t => {
  for (const timestamp of [-1, 0, 2 ** 40, 2 ** 52]) {
    const { batches } = compact([batch(0, 'a=- b=1', { timestamp })], { nowMs: 1_700_000_000_000 })
    t.same(
      decodeRecords(batches[0]!).map(record => record.timestamp),
      [timestamp, timestamp + 1],
    )
  }
  t.end()
})

t.test('the last batch of a producer stays as a header, with its sequence and its offsets', t => {
  const batches = [
    batch(0, 'a=1 b=1', { producer: 7, sequence: 10, codec: 'lz4', timestamp: 500 }),
    batch(2, 'a=2 b=2'),
  ]
  t.same(compact(batches).log, ['2-3 a@2=2 b@3=2'], 'unless nobody remembers the producer')
  const compacted = compact(batches, { lastOffsets: { 7: 1 } })
  t.same(compacted.log, ['0-1 p7/10', '2-3 a@2=2 b@3=2'])
  const header = readBatchHeader(compacted.batches[0]!, 0)
  t.match(header, { lastOffsetDelta: 1, recordCount: 0, codecId: 0, baseTimestamp: -1, maxTimestamp: 501 })
  t.same(compact(compacted.batches, { lastOffsets: { 7: 1 } }).log, compacted.log)
  t.same(compact(compacted.batches).log, ['2-3 a@2=2 b@3=2'], 'until the producer is forgotten')
  t.end()
})

t.test('the last batch of a segment stays, so that segments meet', t => {
  const { log } = compact([batch(0, 'a=1'), batch(1, 'a=2'), batch(2, '=1')], { endsSegment: true })
  t.same(log, ['1-1 a@1=2', '2-2'])
  t.end()
})

t.test('a commit marker goes a horizon after the last record of its transaction', t => {
  const transaction = { producer: 7, isTransactional: true }
  const options = { nowMs: 5000, deleteRetentionMs: 100 }
  const first = compact([batch(0, 'a=1', transaction), marker(1, 'commit', 7), batch(2, 'a=2')], options)
  t.same(first.log, ['1-1 p7/-1 commit', '2-2 a@2=2'], 'its records were there when the compaction began')
  const second = compact(first.batches, options)
  t.same(second.log, ['1-1 p7/-1 until:5100 commit', '2-2 a@2=2'])
  t.equal(second.nextHorizonMs, 5100)
  t.same(compact(second.batches, { ...options, nowMs: 5099 }).log, second.log)
  t.same(compact(second.batches, { ...options, nowMs: 5100 }).log, ['2-2 a@2=2'])
  t.same(
    compact(second.batches, { ...options, nowMs: 5100, lastOffsets: { 7: 1 } }).log,
    ['1-1 p7/-1', '2-2 a@2=2'],
    'a producer that wrote nothing since is known by it',
  )
  t.end()
})

t.test('a marker stays while a record of its transaction does', t => {
  const log = [
    batch(0, 'a=1', { producer: 7, isTransactional: true }),
    marker(1, 'commit', 7),
    batch(2, 'b=1'),
  ]
  const options = { nowMs: 5000, deleteRetentionMs: 0 }
  const first = compact(log, options)
  t.equal(first.untouched, 3)
  t.equal(compact(first.batches, { ...options, nowMs: 9000 }).untouched, 3)
  t.end()
})

t.test('records of an aborted transaction go, and count for nothing', t => {
  const transaction = { producer: 7, isTransactional: true }
  const batches = [
    batch(0, 'a=1'),
    batch(1, 'a=2', transaction),
    batch(2, 'b=1', { producer: 8, isTransactional: true }),
    marker(3, 'abort', 7),
    marker(4, 'commit', 8),
    batch(5, 'c=1', { ...transaction, sequence: 1 }),
    marker(6, 'commit', 7),
  ]
  const options = { aborted: [[7, 1, 3]] as const, nowMs: 5000 }
  const first = compact(batches, options)
  t.same(first.log, [
    '0-0 a@0=1',
    '2-2 p8/0 b@2=1',
    '3-3 p7/-1 abort',
    '4-4 p8/-1 commit',
    '5-5 p7/1 c@5=1',
    '6-6 p7/-1 commit',
  ])
  t.same(first.keptAborted, [7], 'a reader may still hold a record of it')
  const second = compact(first.batches, options)
  t.same(second.log[2], '3-3 p7/-1 until:5100 abort')
  t.same(second.keptAborted, [])
  const third = compact(second.batches, { ...options, nowMs: 5100 })
  t.same(third.log, ['0-0 a@0=1', '2-2 p8/0 b@2=1', '4-4 p8/-1 commit', '5-5 p7/1 c@5=1', '6-6 p7/-1 commit'])
  t.end()
})

t.test(
  'the last batch of a producer in an aborted transaction stays as a header, and the marker with it',
  t => {
    const transaction = { producer: 7, isTransactional: true }
    const batches = [batch(0, 'a=1', transaction), marker(1, 'abort', 7), batch(2, 'b=1')]
    const options = {
      aborted: [[7, 0, 1]] as const,
      lastOffsets: { 7: 0 },
      nowMs: 5000,
      deleteRetentionMs: 0,
    }
    const first = compact(batches, options)
    t.same(first.log, ['0-0 p7/0', '1-1 p7/-1 abort', '2-2 b@2=1'])
    const second = compact(first.batches, { ...options, nowMs: 9000 })
    t.same(second.log, first.log)
    t.same(second.keptAborted, [7])
    t.end()
  },
)

t.test('a description tells damage', t => {
  const bytes = batch(0, 'a=1')
  bytes[30] = 1
  t.match(describe(bytes), /BAD_CHECKSUM/)
  t.end()
})
