import t from 'tap'
import { ManualClock } from '../../../broker/env-memory/clock.ts'
import {
  type DelayedOperation,
  Purgatory,
  type Waiter,
  type Wakeable,
} from '../../../broker/runtime/purgatory.ts'

class Partition implements Wakeable {
  readonly waiters = new Set<Waiter>()

  addWaiter(waiter: Waiter): void {
    this.waiters.add(waiter)
  }

  removeWaiter(waiter: Waiter): void {
    this.waiters.delete(waiter)
  }

  move(): void {
    for (const waiter of this.waiters) waiter.wake()
  }
}

class Operation implements DelayedOperation {
  ready = false
  tries = 0
  expired = 0

  tryComplete(): boolean {
    this.tries += 1
    return this.ready
  }

  expire(): void {
    this.expired += 1
  }
}

function setUp() {
  const clock = new ManualClock()
  return {
    clock,
    purgatory: new Purgatory({ clock, timers: clock }),
    partitions: [new Partition(), new Partition()],
  }
}

t.test('an operation is tried once at the end of a turn, however many of its partitions moved', async t => {
  const { clock, purgatory, partitions } = setUp()
  const operation = new Operation()
  purgatory.wait(operation, partitions, 500)
  for (const partition of partitions) partition.move()
  partitions[0]!.move()
  t.equal(operation.tries, 0, 'not inside the wake')
  await clock.settle()
  t.equal(operation.tries, 1)
  t.equal(purgatory.size, 1)
})

t.test('a completed operation leaves everything', async t => {
  const { clock, purgatory, partitions } = setUp()
  const operation = new Operation()
  const waiting = purgatory.wait(operation, partitions, 500)
  operation.ready = true
  partitions[1]!.move()
  await clock.settle()
  t.equal(waiting.done, true)
  t.equal(purgatory.size, 0)
  t.equal(partitions[0]!.waiters.size, 0)
  t.equal(clock.pendingTimers, 0)
  partitions[0]!.move()
  await clock.advance(1000)
  t.equal(operation.tries, 1)
  t.equal(operation.expired, 0)
})

t.test('an operation that is not completed in time expires once', async t => {
  const { clock, purgatory, partitions } = setUp()
  const operation = new Operation()
  purgatory.wait(operation, partitions, 500)
  await clock.advance(499)
  t.equal(operation.expired, 0)
  await clock.advance(1)
  t.equal(operation.expired, 1)
  t.equal(partitions[0]!.waiters.size, 0)
  operation.ready = true
  partitions[0]!.move()
  await clock.advance(1000)
  t.equal(operation.tries, 0)
})

t.test('a wake and the deadline in the same moment complete it once', async t => {
  const { clock, purgatory, partitions } = setUp()
  const operation = new Operation()
  operation.ready = true
  purgatory.wait(operation, partitions, 100)
  clock.set(100, () => partitions[0]!.move())
  await clock.advance(200)
  t.equal(operation.tries + operation.expired, 1)
})

t.test('a cancelled operation is never called', async t => {
  const { clock, purgatory, partitions } = setUp()
  const operation = new Operation()
  const waiting = purgatory.wait(operation, partitions, 100)
  partitions[0]!.move()
  waiting.cancel()
  waiting.cancel()
  await clock.advance(1000)
  t.equal(operation.tries + operation.expired, 0)
  t.equal(purgatory.size, 0)
})

t.test('at shutdown all that waits expires', t => {
  const { clock, purgatory, partitions } = setUp()
  const operations = [new Operation(), new Operation()]
  for (const operation of operations) purgatory.wait(operation, partitions, 100)
  purgatory.expireAll()
  t.same(
    operations.map(operation => operation.expired),
    [1, 1],
  )
  t.equal(clock.pendingTimers, 0)
  t.end()
})

t.test('ten thousand wait cheaply', async t => {
  const { clock, purgatory, partitions } = setUp()
  const operations = Array.from({ length: 10_000 }, () => new Operation())
  const started = process.hrtime.bigint()
  for (const [index, operation] of operations.entries())
    purgatory.wait(operation, partitions, 100 + (index % 400))
  for (const operation of operations) operation.ready = true
  partitions[0]!.move()
  await clock.settle()
  t.equal(purgatory.size, 0)
  t.ok(Number(process.hrtime.bigint() - started) < 1e9)
})
