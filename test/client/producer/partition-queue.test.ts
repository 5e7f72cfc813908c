/**
 * Order and single copies, as rules of one partition: told as stories, then tried at random against a broker's memory
 * of the producer.
 */
import fc from 'fast-check'
import t from 'tap'
import { ProducerBatch } from '../../../client/producer/batch.ts'
import { PartitionQueue, type ProducerIdentity } from '../../../client/producer/partition-queue.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { type ProducerEpoch, type ProducerId } from '../../../client/protocol/types.ts'

const IDENTITY: ProducerIdentity = { producerId: 7n as ProducerId, producerEpoch: 0 as ProducerEpoch }
const LEADER = 1

function makeQueue(idempotent = true): PartitionQueue {
  return new PartitionQueue('orders', 0, { idempotent, maxInFlight: 5 })
}

function add(queue: PartitionQueue, value: string, deadlineMs = Number.POSITIVE_INFINITY): ProducerBatch {
  const batch = new ProducerBatch({
    topic: 'orders',
    partition: 0,
    acks: -1,
    createdMs: 0,
    deadlineMs,
    initialBytes: 128,
    buffer: null,
  })
  batch.builder.append(0, null, value)
  batch.recordCount = 1
  queue.open = batch
  queue.seal()
  return batch
}

function sendOne(queue: PartitionQueue, broker = LEADER): ProducerBatch | null {
  const batch = queue.next(0, broker, IDENTITY)
  if (batch !== null) queue.sent(batch, broker)
  return batch
}

/** Past the first batch, which goes alone. */
function proven(): PartitionQueue {
  const queue = makeQueue()
  const first = add(queue, 'first')
  sendOne(queue)
  queue.answered(first, ErrorCode.NONE)
  return queue
}

t.test('the first batch of an identity goes alone; then five are under way', async t => {
  const queue = makeQueue()
  const batches = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map(value => add(queue, value))
  t.equal(sendOne(queue), batches[0])
  t.equal(sendOne(queue), null, 'a broker that does not know the producer would take the second for a first')
  t.equal(queue.answered(batches[0]!, ErrorCode.NONE), 'delivered')
  for (const batch of batches.slice(1, 6)) t.equal(sendOne(queue), batch)
  t.equal(sendOne(queue), null, 'the broker remembers five')
  t.same(
    batches.slice(0, 6).map(({ baseSequence }) => baseSequence),
    [0, 1, 2, 3, 4, 5],
  )
})

t.test('after a failure everything under way is answered before anything is sent', async t => {
  const queue = proven()
  const [a, b, c] = ['a', 'b', 'c'].map(value => add(queue, value))
  for (const batch of [a, b, c]) t.equal(sendOne(queue), batch)
  t.equal(queue.answered(a!, ErrorCode.NOT_LEADER_OR_FOLLOWER), 'retry')
  t.equal(sendOne(queue), null)
  t.equal(queue.answered(b!, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER), 'retry')
  t.equal(queue.answered(c!, null), 'retry')
  t.equal(sendOne(queue, 2), a, 'in the old order, to the new leader')
  t.equal(a!.baseSequence, 1, 'with the old sequence')
  t.equal(sendOne(queue, 2), null, 'one alone, until the way is proven')
  t.equal(queue.answered(a!, ErrorCode.NONE), 'delivered')
  t.equal(sendOne(queue, 2), b)
  t.equal(sendOne(queue, 2), c)
})

t.test('nothing goes to a new leader while the old one owes answers', async t => {
  const queue = proven()
  const [a, b] = ['a', 'b'].map(value => add(queue, value))
  sendOne(queue, 1)
  t.equal(sendOne(queue, 2), null)
  queue.answered(a!, ErrorCode.NONE)
  t.equal(sendOne(queue, 2), b)
})

t.test('a batch refused for good leaves a gap, which a new epoch closes', async t => {
  const queue = proven()
  const [a, b] = ['a', 'b'].map(value => add(queue, value))
  sendOne(queue)
  sendOne(queue)
  t.equal(queue.answered(a!, ErrorCode.MESSAGE_TOO_LARGE), 'failed')
  t.equal(queue.answered(b!, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER), 'retry')
  t.equal(sendOne(queue), b)
  t.same([b!.producerEpoch, b!.baseSequence], [1, 0])
  t.equal(queue.epochBumps, 1)
})

t.test('when the epochs of an id are used up, another id is waited for', async t => {
  const queue = makeQueue()
  const last = { producerId: 7n as ProducerId, producerEpoch: 0x7fff as ProducerEpoch }
  const batch = add(queue, 'a')
  queue.sent(queue.next(0, LEADER, last)!, LEADER)
  queue.answered(batch, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
  t.ok(queue.needsIdentity(last))
  t.equal(queue.next(0, LEADER, last), null)
  const fresh = { producerId: 8n as ProducerId, producerEpoch: 0 as ProducerEpoch }
  t.equal(queue.next(0, LEADER, fresh), batch)
  t.same([batch.producerId, batch.producerEpoch, batch.baseSequence], [8n, 0, 0])
})

function expire(queue: PartitionQueue, nowMs: number): ProducerBatch[] {
  const expired = queue.expire(nowMs)
  for (const batch of expired) batch.settle({ error: null, baseOffset: -1, logAppendTimeMs: null })
  return expired
}

t.test('what runs out of time while under way leaves with its answer', async t => {
  const queue = proven()
  const a = add(queue, 'a', 10)
  const b = add(queue, 'b', 100)
  sendOne(queue)
  t.same(expire(queue, 10), [a])
  t.equal(sendOne(queue), null, 'a number behind it may be taken by one leader, and missing for the next')
  t.equal(queue.answered(a, null), 'ignored')
  t.equal(sendOne(queue), b)
  t.same([b.producerEpoch, b.baseSequence], [1, 0], 'no leader can have it under another number')
  t.equal(queue.answered(b, ErrorCode.NONE), 'delivered')
  t.ok(queue.isEmpty)
})

t.test('a late answer that it was stored after all leaves no gap', async t => {
  const queue = proven()
  const a = add(queue, 'a', 10)
  const b = add(queue, 'b', 100)
  sendOne(queue)
  expire(queue, 10)
  t.equal(queue.answered(a, ErrorCode.NONE), 'ignored')
  t.equal(sendOne(queue), b)
  t.same([b.producerEpoch, b.baseSequence], [0, 2])
  t.equal(queue.epochBumps, 0)
})

/** Two batches were sent, and nobody knows whether they are stored; the first is over at 10. */
function unanswered() {
  const queue = proven()
  const [a, b, c] = [add(queue, 'a', 10), add(queue, 'b', 100), add(queue, 'c', 100)]
  sendOne(queue)
  sendOne(queue)
  queue.answered(a, null)
  queue.answered(b, null)
  return { queue, a, b, c }
}

t.test('behind a batch that was given up, those sent already keep their numbers', async t => {
  const { queue, a, b, c } = unanswered()
  t.same(expire(queue, 10), [a])

  t.equal(sendOne(queue, 2), b)
  t.same([b.producerEpoch, b.baseSequence], [0, 2], 'the old leader may have it by this number')
  t.equal(sendOne(queue, 2), null)
  t.equal(queue.answered(b, ErrorCode.NONE), 'delivered', 'then the one before it was stored too')
  t.equal(sendOne(queue, 2), c)
  t.same([c.producerEpoch, c.baseSequence], [0, 3])
})

t.test('behind a batch that was given up, one that a new leader lacks may be with the old one', async t => {
  const { queue, b, c } = unanswered()
  expire(queue, 10)
  t.equal(sendOne(queue, 2), b)
  t.equal(queue.answered(b, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER), 'doubtful')
  t.equal(sendOne(queue, 2), c)
  t.same([c.producerEpoch, c.baseSequence], [1, 0])
})

t.test('behind a batch that was given up, one that was never taken goes on under a new epoch', async t => {
  const queue = proven()
  const [a, b] = [add(queue, 'a', 10), add(queue, 'b', 100)]
  sendOne(queue)
  sendOne(queue)
  queue.answered(a, null)
  queue.answered(b, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
  expire(queue, 10)
  t.equal(sendOne(queue, 2), b)
  t.equal(queue.answered(b, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER), 'retry')
  t.equal(sendOne(queue, 2), b)
  t.same([b.producerEpoch, b.baseSequence], [1, 0])
})

/** The log of one replica, and what it remembers of the producer: as strict as Kafka's. */
class Memory {
  log: string[] = []
  #epoch = -1
  #next = 0
  #last: number[] = []

  /** Has what the leader has, and nothing else. */
  follow(leader: Memory): void {
    this.log = [...leader.log]
    this.#epoch = leader.#epoch
    this.#next = leader.#next
    this.#last = [...leader.#last]
  }

  append(batch: ProducerBatch, value: string): number {
    const { producerEpoch: epoch, baseSequence: base } = batch
    if (epoch < this.#epoch) return ErrorCode.INVALID_PRODUCER_EPOCH
    if (epoch === this.#epoch && this.#last.includes(base)) return ErrorCode.NONE
    // A producer that is unknown may begin anywhere: the broker cannot know better.
    const expected = this.#epoch < 0 ? base : epoch > this.#epoch ? 0 : this.#next
    if (base !== expected) return ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    if (epoch !== this.#epoch) this.#last = []
    this.#epoch = epoch
    this.#next = base + 1
    this.#last = [...this.#last, base].slice(-5)
    this.log.push(value)
    return ErrorCode.NONE
  }
}

type Step =
  | 'send'
  | 'answer'
  | 'store-and-refuse'
  | 'lose-answer'
  | 'lose-request'
  | 'refuse'
  | 'reject'
  | 'expire'
  | 'move'

t.test(
  'whatever fails, each batch is stored at most once, in order, and none that was acknowledged is missing',
  async () => {
    const steps = fc.array(
      fc.oneof(
        { weight: 6, arbitrary: fc.constant<Step>('send') },
        { weight: 6, arbitrary: fc.constant<Step>('answer') },
        fc.constantFrom<Step>(
          'store-and-refuse',
          'lose-answer',
          'lose-request',
          'refuse',
          'reject',
          'expire',
          'move',
        ),
      ),
      { minLength: 20, maxLength: 120, size: 'max' },
    )
    fc.assert(
      fc.property(steps, script => {
        const queue = makeQueue()
        // Both are in sync: what was acknowledged they have both, what was not may be with one of them.
        const replicas = [new Memory(), new Memory()] as const
        let leader: 0 | 1 = 0
        const names = new Map<ProducerBatch, string>()
        const acked: string[] = []
        let sent: { batch: ProducerBatch; name: string }[] = []
        let nowMs = 0
        let made = 0
        const settle = (batch: ProducerBatch): void =>
          batch.settle({ error: null, baseOffset: 0, logAppendTimeMs: null })
        const answer = (code: number | null): void => {
          const first = sent.shift()
          if (first === undefined) return
          const verdict = queue.answered(first.batch, code)
          if (verdict === 'delivered') acked.push(first.name)
          if (verdict !== 'retry' && verdict !== 'ignored') settle(first.batch)
        }
        /** The leader handles the oldest request; they are read in order. */
        const handle = (): number | null =>
          sent[0] === undefined ? null : replicas[leader].append(sent[0].batch, sent[0].name)
        const sendAll = (): void => {
          for (
            let next = queue.next(0, leader, IDENTITY);
            next !== null;
            next = queue.next(0, leader, IDENTITY)
          ) {
            queue.sent(next, leader)
            sent.push({ batch: next, name: names.get(next)! })
          }
        }
        const play = (step: Step): void => {
          switch (step) {
            case 'send': {
              const batch = add(queue, 'x', nowMs + (made % 3 === 0 ? 30 : 300))
              names.set(batch, String(made++))
              sendAll()
              break
            }
            case 'answer': {
              const code = handle()
              if (code === ErrorCode.NONE) replicas[leader === 0 ? 1 : 0].follow(replicas[leader])
              answer(code)
              break
            }
            case 'lose-answer':
            case 'lose-request': {
              // The connection breaks: some of what is under way was read before, nothing is answered.
              const read = step === 'lose-answer' ? sent.length : 0
              for (const { batch, name } of sent.slice(0, read)) replicas[leader].append(batch, name)
              while (sent.length > 0) answer(null)
              break
            }
            case 'refuse':
              answer(ErrorCode.NOT_LEADER_OR_FOLLOWER)
              break
            case 'store-and-refuse':
              handle()
              answer(ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND)
              break
            case 'reject':
              answer(ErrorCode.MESSAGE_TOO_LARGE)
              break
            case 'expire':
              nowMs += 31
              for (const batch of queue.expire(nowMs)) settle(batch)
              break
            case 'move':
              while (sent.length > 0) answer(ErrorCode.NOT_LEADER_OR_FOLLOWER)
              leader = leader === 0 ? 1 : 0
              break
            default:
              step satisfies never
          }
        }
        for (const step of script) play(step)
        sent = sent.slice()
        for (let count = 0; count < 2000 && (sent.length > 0 || queue.hasUnsent); count++) {
          while (sent.length > 0) play('answer')
          sendAll()
        }
        const { log } = replicas[leader]
        const numbers = log.map(Number)
        if (numbers.some((number, index) => index > 0 && number <= numbers[index - 1]!))
          throw new Error(`order: ${numbers}`)
        for (const name of acked) if (!log.includes(name)) throw new Error(`lost: ${name}`)
        if (!queue.isEmpty) throw new Error('the queue comes to its end')
      }),
      { numRuns: 5000 },
    )
  },
)
