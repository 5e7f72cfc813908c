/**
 * The assignors: what everybody who knows their names expects of them, and the bytes that they exchange with Java's.
 */
import fc from 'fast-check'
import t from 'tap'
import {
  type Assignor,
  type AssignorInput,
  type AssignorMember,
  type GroupAssignment,
} from '../../../../client/consumer/assignors/assignor.ts'
import { cooperativeStickyAssignor } from '../../../../client/consumer/assignors/cooperative-sticky.ts'
import { rangeAssignor } from '../../../../client/consumer/assignors/range.ts'
import { roundRobinAssignor } from '../../../../client/consumer/assignors/round-robin.ts'
import {
  decodeStickyUserData,
  encodeStickyUserData,
  stickyAssignor,
} from '../../../../client/consumer/assignors/sticky.ts'
import { type TopicPartition } from '../../../../client/consumer/types.ts'
import { workedMs } from '../../../helpers/worked.ts'

const member = (memberId: string, topics: string, more: Partial<AssignorMember> = {}): AssignorMember => ({
  memberId,
  groupInstanceId: null,
  topics: topics.split(' '),
  owned: [],
  generation: -1,
  userData: null,
  rack: null,
  ...more,
})

const counts = (topics: Record<string, number>) => new Map(Object.entries(topics))

/** As `{ a: 't0 t1', b: 't2' }`. */
function show(assignment: GroupAssignment): Record<string, string> {
  return Object.fromEntries(
    [...assignment].map(([id, places]) => [
      id,
      places.map(({ topic, partition }) => topic + partition).join(' '),
    ]),
  )
}

function places(text: string): TopicPartition[] {
  return text === ''
    ? []
    : text.split(' ').map(each => ({ topic: each[0]!, partition: Number(each.slice(1)) }))
}

t.test('range gives consecutive partitions, topic by topic, and the first members one more', async t => {
  const input = { members: [member('b', 's t'), member('a', 's t')], partitionCounts: counts({ s: 3, t: 3 }) }
  t.same(show(rangeAssignor.assign(input)), { a: 's0 s1 t0 t1', b: 's2 t2' })
})

t.test(
  'static members come first, by their instance ids, so that they get the same after a restart',
  async t => {
    const members = [
      member('a', 't'),
      member('z', 't', { groupInstanceId: '1' }),
      member('y', 't', { groupInstanceId: '2' }),
    ]
    t.same(show(rangeAssignor.assign({ members, partitionCounts: counts({ t: 3 }) })), {
      z: 't0',
      y: 't1',
      a: 't2',
    })
  },
)

t.test('round robin deals out in turn and passes over who does not want a topic', async t => {
  const members = [member('a', 's t'), member('b', 't'), member('c', 's t')]
  const assigned = show(roundRobinAssignor.assign({ members, partitionCounts: counts({ s: 2, t: 4 }) }))
  t.same(assigned, { a: 's0 t0 t3', b: 't1', c: 's1 t2' })
})

t.test('topics that do not exist, and members that want nothing, harm nobody', async t => {
  const members = [member('a', 'gone t'), member('b', 'gone')]
  for (const assignor of [rangeAssignor, roundRobinAssignor, stickyAssignor, cooperativeStickyAssignor]) {
    t.same(show(assignor.assign({ members, partitionCounts: counts({ t: 2 }) })), { a: 't0 t1', b: '' })
  }
})

t.test('sticky moves no more than a newcomer needs', async t => {
  const userData = (text: string, generation = 1) => encodeStickyUserData(places(text), generation)
  const members = [
    member('a', 't', { userData: userData('t0 t2 t4') }),
    member('b', 't', { userData: userData('t1 t3 t5') }),
    member('c', 't'),
  ]
  t.same(show(stickyAssignor.assign({ members, partitionCounts: counts({ t: 6 }) })), {
    a: 't0 t2',
    b: 't1 t3',
    c: 't4 t5',
  })
})

t.test('of two who claim a partition the later generation is believed, and of equals neither', async t => {
  const partitionCounts = counts({ t: 2 })
  const told = (text: string, generation: number) => ({
    userData: encodeStickyUserData(places(text), generation),
  })
  const later = [member('a', 't', told('t0 t1', 3)), member('b', 't', told('t1', 4))]
  t.same(show(stickyAssignor.assign({ members: later, partitionCounts })), { a: 't0', b: 't1' })
  const equal = [member('a', 't', told('t1', 4)), member('b', 't', told('t1', 4))]
  t.same(show(stickyAssignor.assign({ members: equal, partitionCounts })), { a: 't0', b: 't1' })
})

t.test('what sticky members tell each other is laid out as Java does', async t => {
  const bytes = encodeStickyUserData(places('t0 t2 u1'), 7)
  t.equal(
    bytes.toString('hex'),
    // two topics; "t" with [0, 2]; "u" with [1]; generation 7
    '00000002 0001 74 00000002 00000000 00000002 0001 75 00000001 00000001 00000007'.replaceAll(' ', ''),
  )
  t.same(decodeStickyUserData(bytes), { previous: places('t0 t2 u1'), generation: 7 })
  t.same(
    decodeStickyUserData(bytes.subarray(0, -4)),
    { previous: places('t0 t2 u1'), generation: -1 },
    'before 2.3 there was no generation',
  )
  t.equal(decodeStickyUserData(Buffer.from('7fffffff', 'hex')), null)
  t.equal(
    Buffer.from(cooperativeStickyAssignor.userData!(places('t0'), 9)!).toString('hex'),
    '00000009',
    'cooperative-sticky: the generation alone',
  )
})

t.test('cooperatively a partition is nobody’s while it moves', async t => {
  const partitionCounts = counts({ t: 4 })
  const first = [member('a', 't', { owned: places('t0 t1 t2 t3'), generation: 1 }), member('b', 't')]
  t.same(show(cooperativeStickyAssignor.assign({ members: first, partitionCounts })), { a: 't0 t1', b: '' })
  const second = [
    member('a', 't', { owned: places('t0 t1'), generation: 2 }),
    member('b', 't', { generation: 2 }),
  ]
  t.same(show(cooperativeStickyAssignor.assign({ members: second, partitionCounts })), {
    a: 't0 t1',
    b: 't2 t3',
  })
})

// ---------------------------------------------------------------------------------------- properties

const TOPICS = ['s', 't', 'u']

const groups = fc.record({
  partitionCounts: fc
    .tuple(fc.nat(8), fc.nat(8), fc.nat(8))
    .map(
      each => new Map(TOPICS.map((topic, index) => [topic, each[index]!] as const).filter(([, n]) => n > 0)),
    ),
  wants: fc.array(fc.subarray(TOPICS, { minLength: 1 }), { minLength: 1, maxLength: 6 }),
})

function toInput({ partitionCounts, wants }: { partitionCounts: Map<string, number>; wants: string[][] }) {
  return { partitionCounts, members: wants.map((topics, index) => member(`m${index}`, topics.join(' '))) }
}

/** Everything that somebody wants is given to exactly one who wants it. */
function isComplete({ members, partitionCounts }: AssignorInput, assignment: GroupAssignment): boolean {
  const given = [...assignment].flatMap(([id, list]) =>
    list.map(place => {
      const owner = members.find(({ memberId }) => memberId === id)
      return owner?.topics.includes(place.topic) === true ? `${place.topic}${place.partition}` : 'unwanted'
    }),
  )
  const wanted = [...partitionCounts]
    .filter(([topic]) => members.some(({ topics }) => topics.includes(topic)))
    .flatMap(([topic, count]) => Array.from({ length: count }, (_, partition) => topic + partition))
  return (
    given.length === wanted.length &&
    given.every(each => wanted.includes(each)) &&
    new Set(given).size === given.length
  )
}

/** No single move makes it fairer. */
function isFair({ members }: AssignorInput, assignment: GroupAssignment): boolean {
  const load = (id: string): number => assignment.get(id)?.length ?? 0
  return [...assignment].every(([id, list]) =>
    list.every(({ topic }) =>
      members.every(({ memberId, topics }) => !topics.includes(topic) || load(memberId) + 1 >= load(id)),
    ),
  )
}

t.test(
  'every partition goes to exactly one member that wants it, whatever the order of the members',
  async () => {
    for (const assignor of [rangeAssignor, roundRobinAssignor, stickyAssignor, cooperativeStickyAssignor]) {
      fc.assert(
        fc.property(groups, group => {
          const input = toInput(group)
          const assignment = assignor.assign(input)
          const reversed = assignor.assign({ ...input, members: [...input.members].reverse() })
          const same = input.members.every(
            ({ memberId }) =>
              JSON.stringify(assignment.get(memberId)) === JSON.stringify(reversed.get(memberId)),
          )
          return isComplete(input, assignment) && same
        }),
      )
    }
  },
)

/** Rounds as a group goes through them, with members that keep what they are told. */
function rounds(assignor: Assignor, input: AssignorInput, before: GroupAssignment, generation: number) {
  let current = before
  for (let round = 0; round < 3; round++) {
    const members = input.members.map(each => {
      const owned = current.get(each.memberId) ?? []
      const told = { generation: generation + round, owned: assignor.cooperative ? owned : [] }
      return { ...each, ...told, userData: assignor.userData?.(owned, generation + round) ?? null }
    })
    current = assignor.assign({ ...input, members })
  }
  return current
}

t.test('sticky assignors are fair, also after members come and go, and then stay as they are', async () => {
  for (const assignor of [stickyAssignor, cooperativeStickyAssignor]) {
    fc.assert(
      fc.property(groups, fc.nat(5), (group, leaver) => {
        const input = toInput(group)
        const first = rounds(assignor, input, new Map(), 1)
        const remaining = {
          ...input,
          members: [
            ...input.members.filter((_, index) => index !== leaver),
            member('new', group.wants[0]!.join(' ')),
          ],
        }
        const second = rounds(assignor, remaining, first, 10)
        const third = rounds(assignor, remaining, second, 20)
        return (
          isComplete(remaining, second) &&
          isFair(input, first) &&
          isFair(remaining, second) &&
          JSON.stringify([...second]) === JSON.stringify([...third])
        )
      }),
      { numRuns: 300 },
    )
  }
})

t.test('where all want the same, a member keeps its whole fair share', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 6 }), (count, size) => {
      const partitionCounts = counts({ t: count })
      const old = Array.from({ length: size }, (_, index) => member(`m${index}`, 't'))
      const before = stickyAssignor.assign({ members: old, partitionCounts })
      const grown = [...old, member('new', 't')]
      const after = rounds(stickyAssignor, { members: grown, partitionCounts }, before, 1)
      const share = Math.floor(count / (size + 1))
      return old.every(({ memberId }) => {
        const had = new Set(before.get(memberId)!.map(({ partition }) => partition))
        const kept = after.get(memberId)!.filter(({ partition }) => had.has(partition)).length
        return kept >= Math.min(share, had.size)
      })
    }),
  )
})

t.test('a thousand members on a thousand partitions take no time', async t => {
  const members = Array.from({ length: 1000 }, (_, index) => member(`member-${index}`, 't'))
  const before = workedMs()
  const assignment = cooperativeStickyAssignor.assign({ members, partitionCounts: counts({ t: 1000 }) })
  const tookMs = workedMs() - before
  t.ok([...assignment.values()].every(list => list.length === 1))
  t.ok(tookMs < 1000, `took ${tookMs} ms`)
})
