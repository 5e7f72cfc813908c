import t from 'tap'
import { LeaderEpochCache } from '../../../broker/log/leader-epochs.ts'
import { type LeaderEpoch, type Offset } from '../../../client/protocol/types.ts'

const epoch = (value: number): LeaderEpoch => value as LeaderEpoch
const offset = (value: number): Offset => value as Offset

function cacheOf(...entries: [number, number][]): LeaderEpochCache {
  return new LeaderEpochCache(entries.map(([e, o]) => ({ epoch: epoch(e), startOffset: offset(o) })))
}

function entriesOf(cache: LeaderEpochCache): [number, number][] {
  return cache.entries.map(entry => [entry.epoch, entry.startOffset])
}

t.test('the end of an epoch is where the next one starts, that of the latest is the end of the log', t => {
  const cache = cacheOf([3, 0], [5, 120], [6, 400])
  const endOf = (value: number) => cache.endOffsetFor(epoch(value), offset(450))
  t.same(endOf(3), { epoch: 3, endOffset: 120 })
  t.same(endOf(4), { epoch: 3, endOffset: 120 }, 'an epoch without records stands for the one before it')
  t.same(endOf(5), { epoch: 5, endOffset: 400 })
  t.same(endOf(6), { epoch: 6, endOffset: 450 })
  t.equal(endOf(7), null, 'a later epoch than any is unknown')
  t.same(endOf(2), { epoch: 2, endOffset: 0 }, 'one before the first ended where the first starts')
  t.equal(endOf(-1), null)
  t.equal(cacheOf().endOffsetFor(epoch(0), offset(10)), null)
  t.end()
})

t.test('assigning an epoch drops what contradicts it', t => {
  const cache = cacheOf([1, 0], [2, 10], [3, 20])
  t.equal(cache.assign(epoch(3), offset(25)), false, 'the epoch that is current already')
  t.equal(cache.assign(epoch(4), offset(20)), true)
  t.same(entriesOf(cache), [
    [1, 0],
    [2, 10],
    [4, 20],
  ])
  cache.assign(epoch(2), offset(30))
  t.same(
    entriesOf(cache),
    [
      [1, 0],
      [2, 30],
    ],
    'epochs at or above it are gone',
  )
  t.end()
})

t.test('truncation keeps the epochs of what is left', t => {
  const cache = cacheOf([1, 0], [2, 10], [3, 20])
  cache.truncateFromEnd(offset(20))
  t.same(entriesOf(cache), [
    [1, 0],
    [2, 10],
  ])
  cache.truncateFromStart(offset(15))
  t.same(entriesOf(cache), [[2, 15]], 'the epoch that is current at the new start begins there')
  cache.truncateFromStart(offset(5))
  t.same(entriesOf(cache), [[2, 15]])
  t.end()
})

t.test('the epoch of an offset', t => {
  const cache = cacheOf([1, 5], [2, 10])
  t.same(
    [4, 5, 9, 10, 99].map(value => cache.epochAt(offset(value))),
    [-1, 1, 1, 2, 2],
  )
  t.end()
})

t.test('the version changes with the entries and with nothing else', t => {
  const cache = cacheOf([1, 0])
  t.equal(cache.version, 0)
  cache.assign(epoch(1), offset(7))
  cache.truncateFromEnd(offset(50))
  cache.truncateFromStart(offset(0))
  t.equal(cache.version, 0)
  cache.assign(epoch(2), offset(7))
  t.equal(cache.version, 1)
  t.end()
})
