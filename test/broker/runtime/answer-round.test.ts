import t from 'tap'
import { createMemoryEnv } from '../../../broker/env-memory.ts'
import { AnswerRound } from '../../../broker/runtime/answer-round.ts'
import { FollowedPartition } from '../../../broker/runtime/follower-session.ts'
import { type LeaderEpoch } from '../../../client/protocol/types.ts'
import { FollowerModel } from './replication-models.ts'

function partition(number: number): FollowedPartition {
  return new FollowedPartition(
    new FollowerModel(number, { after: () => Promise.resolve() }),
    1 as LeaderEpoch,
  )
}

t.test('a round is open until the last of its partitions is done', t => {
  const round = new AnswerRound(createMemoryEnv(), () => t.fail('nobody is late'))
  const [a, b] = [partition(0), partition(1)] as const
  round.begin()
  t.equal(round.isOpen, false)
  round.enter(a)
  round.enter(b)
  t.equal(round.leave(a), true)
  t.equal(round.isOpen, true)
  t.equal(round.leave(b), true)
  t.equal(round.isOpen, false)
  t.end()
})

t.test('who still works on an answer when the next one comes is waited for by nobody', t => {
  const round = new AnswerRound(createMemoryEnv(), () => t.fail('nobody is late'))
  const [slow, quick] = [partition(0), partition(1)] as const
  round.begin()
  round.enter(slow)
  round.begin()
  round.enter(quick)
  t.equal(round.leave(slow), false)
  t.equal(round.isOpen, true)
  t.equal(round.leave(quick), true)
  t.end()
})

t.test('the slow ones are left behind 50 ms after the newest answer', async t => {
  const env = createMemoryEnv()
  let late = 0
  const round = new AnswerRound(env, () => late++)
  const slow = partition(0)
  for (let answer = 0; answer < 4; answer++) {
    round.begin()
    round.enter(slow)
    round.watch()
    await env.clock.advance(40)
  }
  t.equal(late, 0)
  t.equal(round.isOpen, true)
  await env.clock.advance(10)
  t.equal(late, 1)
  t.equal(round.isOpen, false)
  t.equal(round.leave(slow), false)
  await env.clock.advance(1000)
  t.equal(late, 1)
})
