import t from 'tap'
import { mebibytesPerSecond, median, spread } from '../../perf/statistics.ts'

t.test('the median is the middle, whatever the order', t => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 3, 2]), 2.5)
  t.ok(Number.isNaN(median([])))
  t.end()
})

t.test('the spread is half the interquartile range as a share of the median', t => {
  t.equal(spread([5]), 0)
  t.equal(spread([8, 9, 10, 11, 12]), 0.1)
  t.end()
})

t.test('a rate is in mebibytes', t => {
  t.equal(mebibytesPerSecond(2 * 1024 * 1024, 500), 4)
  t.end()
})
