import fc from 'fast-check'
import t from 'tap'
import { Spread } from '../../../broker/controller/assignments.ts'

t.test('leaders are spread evenly, racks are different, and who is not there comes last', t => {
  const cluster = fc.record({
    racks: fc.array(fc.constantFrom('a', 'b', 'c', null), { minLength: 1, maxLength: 9 }),
    absent: fc.array(fc.nat({ max: 8 }), { maxLength: 4 }),
    first: fc.nat({ max: 1000 }),
    partitions: fc.integer({ min: 1, max: 40 }),
    factor: fc.integer({ min: 1, max: 5 }),
  })
  fc.assert(
    fc.property(cluster, ({ racks, absent, first, partitions, factor }) => {
      const brokers = racks.map((_, id) => id)
      const isActive = (id: number): boolean => !absent.includes(id)
      const active = brokers.filter(isActive)
      fc.pre(active.length > 0)
      const wanted = Math.min(factor, brokers.length)
      const spread = new Spread({ brokers, racks: new Map(racks.entries()), isActive }, first)
      const leaders = new Map<number, number>(active.map(id => [id, 0]))
      for (let partition = 0; partition < partitions; partition++) {
        const replicas = spread.replicas(partition, wanted)
        if (replicas.length !== wanted || new Set(replicas).size !== wanted) throw new Error('too few')
        leaders.set(replicas[0]!, leaders.get(replicas[0]!)! + 1)
        const there = replicas.filter(isActive)
        if (there.length !== Math.min(wanted, active.length))
          throw new Error('one that is there was passed over')
        if (there.some((id, index) => replicas[index] !== id))
          throw new Error('those that are there come first')
        const named = new Set(active.map(id => racks[id]).filter(rack => rack !== null))
        const used = there.map(id => racks[id] ?? null)
        const doubled = used.some((rack, index) => rack !== null && used.indexOf(rack) !== index)
        const hasFree =
          [...named].some(rack => !used.includes(rack!)) ||
          active.some(id => racks[id] === null && !there.includes(id))
        if (doubled && hasFree) throw new Error('a rack is used twice while another is free')
      }
      const counts = [...leaders.values()]
      if (Math.max(...counts) - Math.min(...counts) > 1) throw new Error('leaders are not spread')
    }),
    { numRuns: 2000 },
  )
  t.end()
})

t.test('followers of one leader differ from round to round', t => {
  const spread = new Spread({ brokers: [1, 2, 3, 4] }, 0)
  const of = (...partitions: number[]): number[][] =>
    partitions.map(partition => spread.replicas(partition, 3))
  t.same(of(0, 1, 2, 3), [
    [1, 2, 3],
    [2, 3, 4],
    [3, 4, 1],
    [4, 1, 2],
  ])
  t.same(of(4, 8, 12), [
    [1, 3, 4],
    [1, 4, 2],
    [1, 2, 3],
  ])
  t.end()
})
