import fc from 'fast-check'
import t from 'tap'
import { type Slab, SlabPool } from '../../broker/slab.ts'

t.test('a slab returns to its pool when the last holder lets go', t => {
  const pool = new SlabPool({ slabBytes: 100, maxIdleSlabs: 2 })
  const slab = pool.acquire()!
  slab.retain()
  slab.release()
  t.equal(pool.slabsInUse, 1)
  slab.release()
  t.equal(pool.slabsInUse, 0)
  t.equal(pool.idleSlabs, 1)
  t.equal(pool.acquire(), slab, 'and is handed out again')
  t.end()
})

t.test('use after the last release is a bug', t => {
  const pool = new SlabPool({ slabBytes: 100, maxIdleSlabs: 2 })
  const slab = pool.acquire()!
  slab.release()
  t.throws(() => slab.release(), { name: 'AssertionError' })
  t.throws(() => slab.retain(), { name: 'AssertionError' })
  t.end()
})

t.test('no more slabs are kept than were asked for', t => {
  const pool = new SlabPool({ slabBytes: 100, maxIdleSlabs: 2 })
  const slabs = [1, 2, 3].map(() => pool.acquire()!)
  for (const slab of slabs) slab.release()
  t.equal(pool.idleSlabs, 2)
  pool.trim()
  t.equal(pool.idleSlabs, 0)
  t.end()
})

t.test('beyond the budget, caches are asked first, then the caller has to wait', t => {
  const pool = new SlabPool({ slabBytes: 100, maxIdleSlabs: 2, maxBytes: 250 })
  const cached = pool.acquire()!
  const used = pool.acquire()!
  let wanted = 0
  const unsubscribe = pool.onPressure(bytes => {
    wanted = bytes
    cached.release()
  })
  const third = pool.acquire()
  t.equal(wanted, 50)
  t.ok(third)
  unsubscribe()
  t.equal(pool.acquire(), null)
  const woken: string[] = []
  pool.whenAvailable(() => woken.push('first'))
  const giveUp = pool.whenAvailable(() => woken.push('second'))
  pool.whenAvailable(() => woken.push('third'))
  giveUp()
  used.release()
  t.same(woken, ['first'])
  third?.release()
  t.same(woken, ['first', 'third'])
  t.end()
})

t.test('an oversized slab has just its size, counts, and is not kept', t => {
  const pool = new SlabPool({ slabBytes: 100, maxIdleSlabs: 2, maxBytes: 250 })
  const slab = pool.acquireOversized(1000)
  t.equal(slab.bytes.byteLength, 1000)
  t.equal(pool.bytesInUse, 1000)
  t.equal(pool.acquire(), null)
  slab.release()
  t.equal(pool.bytesInUse, 0)
  t.equal(pool.idleSlabs, 0)
  t.end()
})

t.test('whatever is retained and released, no slab is held by two and none is lost', t => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom('acquire', 'retain', 'release'), fc.nat())), steps => {
      const pool = new SlabPool({ slabBytes: 10, maxIdleSlabs: 3, maxBytes: 80 })
      const holds: Slab[] = []
      for (const [step, at] of steps) {
        const held = holds[at % Math.max(1, holds.length)]
        if (step === 'acquire') {
          const slab = pool.acquire()
          if (slab === null) continue
          if (holds.includes(slab)) return false
          holds.push(slab)
        } else if (held !== undefined && step === 'retain') {
          held.retain()
          holds.push(held)
        } else if (held !== undefined) {
          held.release()
          holds.splice(holds.indexOf(held), 1)
        }
        if (pool.slabsInUse !== new Set(holds).size) return false
      }
      for (const slab of holds) slab.release()
      return pool.slabsInUse === 0 && pool.bytesInUse === 0
    }),
  )
  t.end()
})
