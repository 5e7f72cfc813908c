import t from 'tap'
import { failoverHeadline, failoverHtml, failoverMarkdown } from '../../../perf/report/failover.ts'
import { atPercentile, type FailoverResult, longestGap } from '../../../perf/workload/failover.ts'

t.test(
  'the gap is the longest time between acknowledgements of which the later came after the kill',
  async t => {
    t.equal(longestGap([0, 500, 501, 503, 703, 704], 502), 200)
    t.equal(longestGap([0, 500, 501], 502), 0, 'nothing came after it')
    t.equal(longestGap([], 1), 0)
  },
)

t.test('a percentile is one of the values', async t => {
  t.equal(atPercentile([1, 2, 3, 4], 50), 2)
  t.equal(atPercentile([1, 2, 3, 4], 99), 4)
  t.equal(atPercentile([7], 1), 7)
  t.ok(Number.isNaN(atPercentile([], 50)))
})

t.test('the report shows every fault', async t => {
  const result: FailoverResult = {
    kind: 'failover',
    startedAt: '2024-05-06T07:08:09.000Z',
    node: '20.0.0',
    machine: '2 x <CPU>',
    options: { fault: 'kill', faults: 2, everyMs: 1, acks: 'all' },
    gaps: [
      { leader: 2, newLeader: 3, gapMs: 210, catchUpMs: 0 },
      { leader: 3, newLeader: 1, gapMs: 150, catchUpMs: 12 },
    ],
    p50: 150,
    p99: 210,
    max: 210,
    records: 5000,
    errors: 0,
  }
  t.equal(failoverHeadline(result), 'writing stands still for 150 ms (p50), 210 ms (p99), 210 ms (max)')
  t.match(failoverMarkdown(result), /\| 1 \| 2 \| 3 \| 210 \|\n\| 2 \| 3 \| 1 \| 150 \|/)
  const page = await failoverHtml(result)
  t.match(page, /kill 2: broker 3 to 1[\s\S]*width:71\.4%/)
  t.notMatch(page, /<CPU>/)
})
