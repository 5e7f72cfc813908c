import t from 'tap'
import { ManualClock } from '../../../broker/env-memory/clock.ts'
import { DiskScheduler, type DiskWorker } from '../../../broker/runtime/disk-scheduler.ts'

class Worker implements DiskWorker {
  writes = 0
  syncs = 0
  #ends: (() => void)[] = []

  writePending(): void {
    this.writes += 1
  }

  /** What it has to do just before a sync begins. */
  onBeforeSync = (): void => {}

  beforeSync(): void {
    this.onBeforeSync()
  }

  sync(): Promise<void> {
    this.syncs += 1
    return new Promise(resolve => this.#ends.push(resolve))
  }

  endSync(): void {
    this.#ends.shift()!()
  }
}

function setUp(parallelSyncs = 2) {
  const clock = new ManualClock()
  return { clock, scheduler: new DiskScheduler({ timers: clock, parallelSyncs }) }
}

t.test('writes are carried out at the end of the turn', async t => {
  const { clock, scheduler } = setUp()
  const workers = [new Worker(), new Worker()]
  for (const worker of workers) scheduler.write(worker)
  t.equal(workers[0]!.writes, 0)
  await clock.settle()
  t.same(
    workers.map(worker => worker.writes),
    [1, 1],
  )
})

t.test('syncs run in parallel within their bound, first come first served', async t => {
  const { clock, scheduler } = setUp(2)
  const [a, b, c] = [new Worker(), new Worker(), new Worker()]
  for (const worker of [a, b, c]) scheduler.sync(worker)
  t.same([a.syncs, b.syncs, c.syncs], [1, 1, 0])
  b.endSync()
  await clock.settle()
  t.same([a.syncs, b.syncs, c.syncs], [1, 1, 1])
})

t.test('who asks while a sync is under way gets one more, and only one', async t => {
  const { clock, scheduler } = setUp()
  const worker = new Worker()
  for (let count = 0; count < 5; count++) scheduler.sync(worker)
  t.equal(worker.syncs, 1)
  worker.endSync()
  await clock.settle()
  t.equal(worker.syncs, 2)
  worker.endSync()
  await clock.settle()
  t.equal(worker.syncs, 2)
})

t.test('a busy partition does not keep others from their turn', async t => {
  const { clock, scheduler } = setUp(1)
  const [busy, other] = [new Worker(), new Worker()]
  scheduler.sync(busy)
  scheduler.sync(busy)
  scheduler.sync(other)
  busy.endSync()
  await clock.settle()
  t.same([busy.syncs, other.syncs], [1, 1])
})

t.test('what is written just before a sync shares it', async t => {
  const { clock, scheduler } = setUp()
  const worker = new Worker()
  // A write that is done asks for a sync that covers it.
  worker.onBeforeSync = () => scheduler.sync(worker)
  scheduler.sync(worker)
  t.equal(worker.syncs, 1)
  worker.endSync()
  await clock.settle()
  t.equal(worker.syncs, 1, 'no second one for what the first has covered')
})
