import t from 'tap'
import { type ProduceReply } from '../../../broker/replica/events.ts'
import { type Reply } from '../../../broker/runtime/host-services.ts'
import { type IsrProposal } from '../../../broker/runtime/partition-types.ts'
import { ReplicaOutbox } from '../../../broker/runtime/replica-outbox.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { type BrokerId, type LeaderEpoch, type Offset } from '../../../client/protocol/types.ts'
import { clusterServices, describe, TOPIC_ID } from './harness.ts'

/** An outbox whose replica and broker a test moves by hand. */
function outbox() {
  const heard: string[] = []
  const broker = { halted: false }
  const proposed: IsrProposal[] = []
  const services = {
    cluster: clusterServices({ proposeIsr: proposal => proposed.push(proposal) }),
    halted: () => broker.halted,
    fatal: (error: Error) => void heard.push(`fatal: ${error.message}`),
  }
  const speaker = {
    waiters: new Set([{ wake: () => void heard.push('reader') }]),
    replicaWaiters: new Set([{ wake: () => void heard.push('follower') }]),
    logStartOffset: 3 as Offset,
    ledEpoch: 1,
    isRegistered: true,
  }
  return { box: new ReplicaOutbox(speaker, services), speaker, broker, heard, proposed }
}

function committed(baseOffset: number, token: Reply): ProduceReply<Reply> {
  return {
    type: 'reply',
    token,
    error: ErrorCode.NONE,
    message: null,
    baseOffset: baseOffset as Offset,
    logAppendTimeMs: -1,
  }
}

t.test('nothing is told before it is delivered, and then once and in order', t => {
  const { box, heard } = outbox()
  for (const offset of [4, 5]) box.reply(committed(offset, outcome => void heard.push(describe(outcome))))
  t.same(heard, [])
  box.deliver()
  box.deliver()
  t.same(heard, ['offset 4', 'offset 5'])
  t.end()
})

t.test('what an answer leads to is told after it, and not within it', t => {
  const { box, heard } = outbox()
  box.reply(
    committed(4, () => {
      t.ok(box.isDelivering)
      box.reply(committed(5, outcome => void heard.push(describe(outcome))))
      box.deliver()
      heard.push('offset 4')
    }),
  )
  box.deliver()
  t.same(heard, ['offset 4', 'offset 5'])
  t.notOk(box.isDelivering)
  t.end()
})

t.test('readers are woken each time, followers when the leadership is another one', t => {
  const { box, speaker, heard } = outbox()
  const woken = (): string[] => {
    box.wake()
    box.deliver()
    return heard.splice(0)
  }
  t.same(woken(), ['reader', 'follower'])
  t.same(woken(), ['reader'])
  speaker.ledEpoch = 2
  t.same(woken(), ['reader', 'follower'])
  speaker.ledEpoch = -1
  t.same(woken(), ['reader', 'follower'], 'it leads no more')
  t.same(woken(), ['reader'])
  t.end()
})

t.test('of two in-sync replica sets the later one is proposed', t => {
  const { box, proposed } = outbox()
  const proposal = { topicId: TOPIC_ID, partition: 0, leaderEpoch: 1 as LeaderEpoch, revision: 7 }
  box.propose({ ...proposal, isr: [{ broker: 2 as BrokerId, brokerEpoch: 1 }] })
  box.propose({ ...proposal, isr: [] })
  box.deliver()
  t.same(proposed, [{ ...proposal, isr: [] }])
  t.end()
})

t.test('a broker that stops, or is out of the cluster, does not say that records are committed', t => {
  const { box, speaker, broker, heard } = outbox()
  const answer = (reply: Partial<ProduceReply<Reply>> = {}): string[] => {
    box.reply({ ...committed(4, outcome => void heard.push(describe(outcome))), ...reply })
    box.deliver()
    return heard.splice(0)
  }
  speaker.isRegistered = false
  t.same(answer(), ['NOT_LEADER_OR_FOLLOWER'])
  t.same(answer({ error: ErrorCode.INVALID_RECORD }), ['INVALID_RECORD'], 'a refusal stays what it is')
  speaker.isRegistered = true
  broker.halted = true
  t.same(answer(), ['KAFKA_STORAGE_ERROR'])
  t.end()
})

t.test('an answer that fails ends the broker', t => {
  const { box, heard } = outbox()
  box.reply(
    committed(4, () => {
      throw new Error('a bug')
    }),
  )
  box.deliver()
  t.same(heard, ['fatal: a bug'])
  t.end()
})
