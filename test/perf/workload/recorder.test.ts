import t from 'tap'
import { workloadHtml, workloadMarkdown } from '../../../perf/report/workload.ts'
import { Recorder } from '../../../perf/workload/recorder.ts'
import type { WorkloadOptions } from '../../../perf/workload/types.ts'

const workload: WorkloadOptions = {
  topic: 'bench<script>',
  partitions: 1,
  recordBytes: 100,
  batchBytes: 1000,
  lingerMs: 0,
  acks: 'all',
  compression: 'none',
  compressible: 0,
  producers: 1,
  rate: null,
  durationMs: 1000,
  count: null,
  warmupMs: 0,
}

function recorder(): Recorder {
  return new Recorder({ kind: 'produce', workload, brokers: 'b:1', onSnapshot: () => undefined })
}

t.test('only what falls into the measured time counts', t => {
  const measured = recorder()
  measured.add(5, 500)
  measured.latency(1000, 5)
  measured.begin()
  measured.add(2, 200)
  measured.latency(1, 1)
  measured.latency(3, 1)
  measured.end()
  measured.add(9, 900)
  const result = measured.result('of a test', [])
  t.match(result, { records: 2, bytes: 200, errors: 0 })
  t.equal(result.latency?.count, 2)
  t.ok(result.latency!.max < 3.1 && result.latency!.min >= 0.99)
  t.end()
})

t.test('a run that ended in its warm-up has no result', t => {
  t.throws(() => recorder().result(null, []), /measured time/)
  t.end()
})

t.test('the page is one file: nothing in it points outside, and names are text', async t => {
  const measured = recorder()
  measured.begin()
  measured.add(2, 200)
  measured.latency(1, 2)
  measured.end()
  const result = measured.result('of a test', ['a <note>'])
  const html = await workloadHtml(result)
  t.notMatch(html, /<(link|img|script)[^>]*(href|src)=/i)
  t.notMatch(html, 'bench<script>')
  t.match(html, 'a &lt;note&gt;')
  t.match(html, 'uPlot')
  t.match(workloadMarkdown(result), /\| p99 \|/)
})
