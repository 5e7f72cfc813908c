/**
 * Random lives of classic groups: members join, die in every phase, miss answers, restart as static members, and the
 * broker crashes and forgets what was not durable. Whatever happens, no two members of one generation have the same
 * partition, an old generation commits nothing, no acknowledged offset is lost, and when the noise stops the group is
 * stable soon.
 */
import t from 'tap'
import { type GroupShard } from '../../../broker/group/group-shard.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { ClassicClient } from './classic-client.ts'
import { commitCommand, leaveCommand } from './members.ts'
import { type Chance, check, OffsetWatch, runSchedules, Tally } from './schedules.ts'
import { TestShell, topicId } from './shell.ts'

const SCHEDULES = 5000
const STEPS = 50
const PARTITIONS = 6
/** Each of these must have been met so often. */
const LEAST = 20
const DEATHS = ['joining', 'joined', 'syncing', 'stable'].map(phase => `a member dies while ${phase}`)
const CRASHES = ['Empty', 'PreparingRebalance', 'CompletingRebalance', 'Stable'].map(
  state => `the coordinator dies in ${state}`,
)
const MET = [
  ...DEATHS,
  ...CRASHES,
  'an old generation commits',
  'a stranger commits',
  'an instance starts twice',
]
const tally = new Tally()
/** A session of somebody who is gone, two rebalance timeouts, and the steps between. */
const REST_WITHIN_MS = 90_000

function describe(shard: GroupShard) {
  const decision = shard.decide({ kind: 'describe-groups', token: 0, version: 6, groupIds: ['g'] }, 0)
  const reply = decision.replies[0]
  return reply?.kind === 'describe-groups' ? reply.answer[0] : undefined
}

function described(shard: GroupShard): string {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  const group = describe(shard)
  const members = group?.members.map(member => ({
    ...member,
    memberMetadata: hex(member.memberMetadata),
    memberAssignment: hex(member.memberAssignment),
  }))
  return JSON.stringify({ ...group, members })
}

class World {
  readonly shell = new TestShell({ initialRebalanceDelayMs: 500, maxSize: 8 })
  readonly offsets = new OffsetWatch()
  readonly chance: Chance
  clients: ClassicClient[] = []

  constructor(chance: Chance) {
    this.chance = chance
  }

  step(): void {
    const { chance, shell } = this
    const client = this.clients.length === 0 ? undefined : chance.pick(this.clients)
    const roll = chance.below(100)
    if (client === undefined || (roll < 8 && this.clients.length < 6)) this.#start()
    else if (roll < 64) client.act(chance.oneIn(12))
    else if (roll < 67) client.disconnect()
    else if (roll < 70) this.#leave(client)
    else if (roll < 73) this.#die(client)
    else if (roll < 82) this.#commit(client)
    else if (roll < 90) shell.advance(chance.below(chance.oneIn(5) ? 12_000 : 1000))
    else if (roll < 94) shell.flush()
    else if (roll < 97) shell.syncsAtOnce = chance.oneIn(2)
    else this.#crash()
  }

  #start(): void {
    const instanceId = this.chance.oneIn(3) ? `i${this.chance.below(3)}` : null
    if (instanceId !== null && this.clients.some(client => client.instanceId === instanceId)) {
      tally.count('an instance starts twice')
    }
    this.clients.push(new ClassicClient(this.shell, instanceId, () => PARTITIONS))
  }

  #leave(client: ClassicClient): void {
    this.clients = this.clients.filter(other => other !== client)
    const { memberId, instanceId } = client
    if (memberId !== '') this.shell.send(leaveCommand([{ memberId, instanceId }]), () => {})
  }

  /** Nobody hears of it, but that its connection may be seen to close. */
  #die(client: ClassicClient): void {
    this.clients = this.clients.filter(other => other !== client)
    tally.count(`a member dies while ${client.phase}`)
    if (this.chance.oneIn(2)) {
      this.shell.run({ kind: 'abandon-join', groupId: 'g', joinToken: client.joinToken })
    }
  }

  #commit(client: ClassicClient): void {
    const isOld = client.generationId > 1 && this.chance.oneIn(4)
    const generationId = isOld ? client.generationId - 1 : client.generationId
    if (generationId < 0) return
    if (isOld) tally.count('an old generation commits')
    const isStranger = this.chance.oneIn(8)
    if (isStranger) tally.count('a stranger commits')
    const instanceId = isStranger ? null : client.instanceId
    const memberId = isStranger ? 'stranger' : client.memberId
    const partition = this.chance.below(PARTITIONS)
    const offset = this.offsets.next()
    const isCurrent = !isStranger && this.#isCurrent(memberId, generationId)
    this.shell.send(commitCommand({ memberId, instanceId, generationId, partition, offset }), reply => {
      if (reply.kind !== 'offset-commit') return
      const errorCode = reply.answer.topics[0]?.partitions[0]?.errorCode
      check(isCurrent || errorCode !== ErrorCode.NONE, `${memberId} may commit in generation ${generationId}`)
      if (errorCode === ErrorCode.NONE) this.offsets.acknowledge(`${topicId('t')}/${partition}`, offset)
    })
  }

  /** Asked as a heartbeat would, without carrying it out. */
  #isCurrent(memberId: string, generationId: number): boolean {
    const request = { groupId: 'g', memberId, generationId, groupInstanceId: null }
    const decision = this.shell.shard.decide(
      { kind: 'heartbeat', token: 0, version: 4, clientId: '', clientHost: '', request },
      this.shell.nowMs,
    )
    const reply = decision.replies[0]
    const errorCode = reply?.kind === 'heartbeat' ? reply.answer.errorCode : -1
    return errorCode === ErrorCode.NONE || errorCode === ErrorCode.REBALANCE_IN_PROGRESS
  }

  #crash(): void {
    tally.count(`the coordinator dies in ${this.describe()?.groupState}`)
    this.shell.crash(this.chance.below(4))
    for (const client of this.clients) client.disconnect()
    this.offsets.verify(this.shell, 'g')
  }

  describe() {
    return describe(this.shell.shard)
  }

  /** Among those who are in the group still. */
  checkOwners(): void {
    const inGroup = new Set(this.describe()?.members.map(({ memberId }) => memberId))
    const owners = new Map<string, string>()
    for (const { memberId, generationId, owned } of this.clients) {
      if (!inGroup.has(memberId)) continue
      for (const partition of owned) {
        const key = `${partition} of generation ${generationId}`
        check(!owners.has(key), `${owners.get(key)} and ${memberId} both have ${key}`)
        owners.set(key, memberId)
      }
    }
  }

  /** One generation has one set of members, but that a static one may have come back under another id. */
  checkGenerations(): void {
    const seen = new Map<number, string>()
    for (const record of this.shell.log) {
      if (record.type !== 'group-metadata' || record.value === null || record.value.members.length === 0)
        continue
      const { generation, members } = record.value
      const names = members.map(({ memberId, groupInstanceId }) => groupInstanceId ?? memberId)
      const told = names.sort().join()
      const before = seen.get(generation) ?? told
      check(before === told, `generation ${generation} is one of ${before} and one of ${told}`)
      seen.set(generation, told)
    }
  }

  comeToRest(): void {
    const { shell } = this
    shell.syncsAtOnce = true
    shell.flush()
    const instances = new Map(this.clients.map(client => [client.instanceId ?? client, client]))
    this.clients = [...instances.values()].filter(({ phase }) => phase !== 'fenced')
    if (this.clients.length === 0) return
    const untilMs = shell.nowMs + REST_WITHIN_MS
    while (!this.isAtRest()) {
      const phases = this.clients.map(({ phase }) => phase).join()
      check(shell.nowMs < untilMs, `members are ${phases}, the group is ${JSON.stringify(this.describe())}`)
      for (const client of this.clients) client.act()
      this.checkOwners()
      this.clients = this.clients.filter(({ phase }) => phase !== 'fenced')
      shell.advance(1000)
    }
  }

  isAtRest(): boolean {
    const group = this.describe()
    if (this.clients.length === 0) return true
    if (group?.groupState !== 'Stable' || group.members.length !== this.clients.length) return false
    if (this.clients.some(({ phase }) => phase !== 'stable')) return false
    const owned = this.clients.flatMap(client => client.owned).sort((left, right) => left - right)
    return owned.join() === Array.from({ length: PARTITIONS }, (_, partition) => partition).join()
  }

  /** At rest, what a fresh start would know is what is known. */
  checkReplay(): void {
    const live = described(this.shell.shard)
    const replayed = described(this.shell.replayed())
    check(live === replayed, `a replay knows ${replayed} and not ${live}`)
    check(this.shell.shard.offsetCount === this.shell.replayed().offsetCount, 'a replay knows other offsets')
  }
}

t.test(`${SCHEDULES} random lives of a classic group`, async t => {
  runSchedules(SCHEDULES, 1, chance => {
    const world = new World(chance)
    for (let step = 0; step < STEPS; step++) {
      world.step()
      world.checkOwners()
    }
    world.comeToRest()
    if (world.clients.length > 0) world.checkReplay()
    world.checkGenerations()
    world.offsets.verify(world.shell, 'g')
  })
  for (const met of MET)
    t.ok(tally.of(met) >= LEAST, `${met}: ${tally.of(met)} times, and no promise is broken`)
})
