import t from 'tap'
import { createMemoryEnv } from '../../../broker/env-memory.ts'
import { WritePolicy } from '../../../broker/storage/write-policy.ts'

const MIB = 1024 * 1024

function world() {
  const { clock } = createMemoryEnv()
  const policy = new WritePolicy(clock)
  const write = (where: 'loop' | 'pool', ms: number): void => {
    const startedMs = policy.begin()
    clock.skip(ms)
    if (where === 'loop') policy.wroteOnLoop(startedMs)
    else policy.wroteInPool(startedMs)
  }
  /** How many fast writes the pool has to make until the loop gets the next one. */
  const probes = (): number => {
    let count = 0
    for (; !policy.takesLoop(MIB); count++) write('pool', 1)
    return count
  }
  return { policy, write, probes }
}

t.test('the loop writes what it is not missed for', async t => {
  const { policy, write } = world()
  t.ok(policy.takesLoop(8 * MIB))
  t.notOk(policy.takesLoop(8 * MIB + 1))
  for (let writes = 0; writes < 100; writes++) write('loop', 10)
  t.ok(policy.takesLoop(MIB), 'as long as it is fast')
})

t.test('after a slow write the pool writes until it has been fast a few times in a row', async t => {
  const { policy, write, probes } = world()
  write('loop', 11)
  t.notOk(policy.takesLoop(1))
  for (let writes = 0; writes < 3; writes++) write('pool', 1)
  write('pool', 50)
  t.equal(probes(), 4, 'a slow one begins the count anew')
})

t.test('a loop that is slow again and again is tried less and less often', async t => {
  const { write, probes } = world()
  const seen = Array.from({ length: 12 }, () => {
    write('loop', 100)
    return probes()
  })
  t.same(seen, [4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024, 1024])
})

t.test('a thousand fast writes make a slow one the first again', async t => {
  const { write, probes } = world()
  for (let slow = 0; slow < 4; slow++) {
    write('loop', 100)
    probes()
  }
  for (let writes = 0; writes < 1000; writes++) write('loop', 1)
  write('loop', 100)
  t.equal(probes(), 4)
})
