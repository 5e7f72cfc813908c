import t from 'tap'
import { PeerJudge } from '../../../broker/runtime/peer-judge.ts'

const PATIENCE_MS = 1000

function judge(wasReported = false): PeerJudge {
  return new PeerJudge({ patienceMs: PATIENCE_MS, nowMs: 0, wasReported })
}

t.test('a broken link whose successor is refused means that the process has ended', async t => {
  const peer = judge()
  t.equal(peer.heard(10), null)
  t.equal(peer.refused(), null, 'a refusal alone does not')
  peer.broken()
  t.equal(peer.refused(), 'dead')
  t.equal(peer.refused(), null, 'it is said once')
  t.equal(peer.passed(60_000), null)
})

t.test('who was never reached is not dead: the address may be wrong', async t => {
  const peer = judge()
  peer.broken()
  t.equal(peer.refused(), null)
  t.equal(peer.condition, 'unknown')
})

t.test('a link that breaks and is there again is nothing', async t => {
  const peer = judge()
  peer.heard(10)
  peer.broken()
  t.equal(peer.heard(20), null)
  t.equal(peer.refused(), null, 'what broke was mended in between')
  t.equal(peer.condition, 'well')
})

t.test('silence is given a second chance before it is judged', async t => {
  const peer = judge()
  peer.heard(0)
  t.equal(peer.passed(999), null)
  t.equal(peer.passed(1000), 'suspected')
  t.equal(peer.passed(1500), null)
  t.equal(peer.heard(1600), null, 'who answers in time was never away')
  t.equal(peer.passed(2600), 'suspected')
  t.equal(peer.passed(3600), 'link-failed', 'its registration lives')
  t.equal(peer.passed(9000), null, 'it is said once')
  t.equal(peer.heard(9100), 'recovered')
  t.equal(peer.heard(9200), null)
})

t.test('silent on both paths, it is the site that has failed', async t => {
  for (const silentMs of [1000, 2000]) {
    const peer = judge()
    peer.heard(0)
    peer.passed(silentMs)
    t.equal(peer.unregistered(), 'site-failed')
    t.equal(peer.unregistered(), null)
    t.ok(peer.isReported)
  }
})

t.test('who takes its leave while it is well has not failed', async t => {
  const peer = judge()
  peer.heard(0)
  t.equal(peer.unregistered(), null)
  t.notOk(peer.isReported)
})

t.test(
  'the return of a broker that was told of as failed is news, also under a new registration',
  async t => {
    t.equal(judge(true).heard(5), 'recovered')
    t.equal(judge(false).heard(5), null)
  },
)

t.test('the time in which we could not listen does not count', async t => {
  const peer = judge()
  peer.heard(0)
  peer.excuse(5000)
  t.equal(peer.passed(5500), null)
  t.equal(peer.passed(6000), 'suspected')
})
