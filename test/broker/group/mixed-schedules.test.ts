/**
 * Random lives of groups whose members speak different protocols, so that the group changes its own again and again.
 * Whatever happens, no two members that are up to date have the same partition, no acknowledged offset is lost, and
 * when the noise stops everything is read by somebody.
 */
import t from 'tap'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { ClassicClient } from './classic-client.ts'
import { Consumer } from './consumers.ts'
import { commitCommand, leaveCommand } from './members.ts'
import { type Chance, check, OffsetWatch, runSchedules } from './schedules.ts'
import { TestShell, topicId } from './shell.ts'

const SCHEDULES = 3000
const STEPS = 60
const PARTITIONS = 6
/** Sessions and rebalance timeouts of members of both kinds that are gone, one after the other. */
const REST_WITHIN_MS = 240_000

class World {
  readonly shell = new TestShell({ initialRebalanceDelayMs: 500 })
  readonly offsets = new OffsetWatch()
  readonly chance: Chance
  classic: ClassicClient[] = []
  consumers: Consumer[] = []

  constructor(chance: Chance) {
    this.chance = chance
    this.shell.topics.set('t', PARTITIONS)
  }

  step(): void {
    const { chance, shell } = this
    const roll = chance.below(100)
    if (roll < 10 && this.classic.length + this.consumers.length < 6) this.#start()
    else if (roll < 60) this.#act()
    else if (roll < 66) this.#stop()
    else if (roll < 76) this.#commit()
    else if (roll < 88) shell.advance(chance.below(chance.oneIn(5) ? 15_000 : 1500))
    else if (roll < 93) shell.flush()
    else if (roll < 96) shell.syncsAtOnce = chance.oneIn(2)
    else this.#crash()
  }

  #start(): void {
    const { chance, shell } = this
    const instanceId = chance.oneIn(3) ? `i${chance.below(3)}` : null
    if (chance.oneIn(2)) this.classic.push(new ClassicClient(shell, instanceId, () => PARTITIONS))
    else this.consumers.push(new Consumer(shell, { instanceId, rebalanceTimeoutMs: 20_000 }))
  }

  #act(): void {
    const { chance } = this
    const isLost = chance.oneIn(12)
    if (this.classic.length > 0 && (this.consumers.length === 0 || chance.oneIn(2))) {
      chance.pick(this.classic).act(isLost)
    } else if (this.consumers.length > 0) {
      const consumer = chance.pick(this.consumers)
      const attempt = ++consumer.attempts
      this.shell.send(consumer.command(), reply => {
        if (isLost || attempt !== consumer.attempts || reply.kind !== 'consumer-group-heartbeat') return
        consumer.take(reply.answer)
      })
    }
  }

  /** Leaves, or dies. */
  #stop(): void {
    const { chance, shell } = this
    const client = chance.oneIn(2) ? this.classic.pop() : undefined
    const consumer = client === undefined ? this.consumers.pop() : undefined
    if (chance.oneIn(3)) return
    if (client !== undefined && client.memberId !== '') shell.send(leaveCommand([client]), () => {})
    if (consumer !== undefined) {
      const isStatic = consumer.options.instanceId != null
      shell.send(consumer.leaveCommand(isStatic && chance.oneIn(2) ? -2 : -1), () => {})
    }
  }

  #commit(): void {
    const consumer = this.consumers.at(-1)
    const client = this.classic.at(-1)
    const memberId = consumer?.memberId ?? client?.memberId ?? ''
    const generationId = consumer?.epoch ?? client?.generationId ?? -1
    if (memberId === '' || generationId < 0) return
    const partition = this.chance.below(PARTITIONS)
    const offset = this.offsets.next()
    this.shell.send(commitCommand({ memberId, generationId, partition, offset }), reply => {
      if (reply.kind !== 'offset-commit') return
      const errorCode = reply.answer.topics[0]?.partitions[0]?.errorCode
      if (errorCode === ErrorCode.NONE) this.offsets.acknowledge(`${topicId('t')}/${partition}`, offset)
    })
  }

  #crash(): void {
    this.shell.crash(this.chance.below(4))
    for (const client of this.classic) client.disconnect()
    this.offsets.verify(this.shell, 'g')
  }

  /** The epochs of the members of a consumer group; null where the group is a classic one. */
  epochs(): Map<string, number> | null {
    const ask = { kind: 'consumer-group-describe', token: 0, groupIds: ['g'] } as const
    const reply = this.shell.shard.decide(ask, this.shell.nowMs).replies[0]
    const group = reply?.kind === 'consumer-group-describe' ? reply.answer[0] : undefined
    if (group?.errorCode !== ErrorCode.NONE) return null
    return new Map(group.members.map(({ memberId, memberEpoch }) => [memberId, memberEpoch]))
  }

  classicMembers(): Set<string> {
    const ask = { kind: 'describe-groups', token: 0, version: 6, groupIds: ['g'] } as const
    const reply = this.shell.shard.decide(ask, this.shell.nowMs).replies[0]
    const group = reply?.kind === 'describe-groups' ? reply.answer[0] : undefined
    return new Set(group?.members.map(({ memberId }) => memberId))
  }

  checkOwners(): void {
    const epochs = this.epochs()
    const members = epochs === null ? this.classicMembers() : null
    const owners = new Map<string, string>()
    const take = (partition: number, memberId: string, generation: number | null) => {
      const key = `${partition}${generation === null ? '' : ` of generation ${generation}`}`
      check(!owners.has(key), `${owners.get(key)} and ${memberId} both have ${key}`)
      owners.set(key, memberId)
    }
    for (const { memberId, generationId, owned } of this.classic) {
      const isIn = epochs === null ? members?.has(memberId) : epochs.get(memberId) === generationId
      if (isIn)
        for (const partition of owned) take(partition, memberId, epochs === null ? generationId : null)
    }
    for (const consumer of this.consumers) {
      if (epochs === null || !epochs.has(consumer.memberId)) continue
      for (const partition of consumer.partitionsOf('t')) take(partition, consumer.memberId, null)
    }
  }

  comeToRest(): void {
    const { shell } = this
    shell.syncsAtOnce = true
    shell.flush()
    // One process for each instance.
    const instances = new Set<string>()
    const isFirst = (instanceId: string | null | undefined) =>
      instanceId == null || (!instances.has(instanceId) && instances.add(instanceId).size > 0)
    this.classic = this.classic.filter(({ phase, instanceId }) => phase !== 'fenced' && isFirst(instanceId))
    this.consumers = this.consumers.filter(({ options }) => isFirst(options.instanceId))
    const untilMs = shell.nowMs + REST_WITHIN_MS
    while (!this.isAtRest()) {
      const phases = this.classic.map(({ phase, generationId }) => `${phase} ${generationId}`)
      const epochs = this.consumers.map(({ epoch }) => epoch)
      check(
        shell.nowMs < untilMs,
        `members are ${phases}; ${epochs}; the group is at ${[...(this.epochs() ?? [])]}`,
      )
      for (const client of this.classic) client.act()
      for (const consumer of this.consumers) consumer.beat()
      this.classic = this.classic.filter(({ phase }) => phase !== 'fenced')
      this.checkOwners()
      shell.advance(1000)
    }
  }

  isAtRest(): boolean {
    if (this.classic.length + this.consumers.length === 0) return true
    const owned = [
      ...this.classic.flatMap(client => client.owned),
      ...this.consumers.flatMap(consumer => consumer.partitionsOf('t')),
    ].sort((left, right) => left - right)
    const isAllRead = owned.join() === Array.from({ length: PARTITIONS }, (_, partition) => partition).join()
    const members = this.epochs()?.size ?? this.classicMembers().size
    return (
      isAllRead &&
      members === this.classic.length + this.consumers.length &&
      (this.epochs() === null) === (this.consumers.length === 0) &&
      this.classic.every(({ phase }) => phase === 'stable')
    )
  }
}

t.test(`${SCHEDULES} random lives of a group of two protocols`, async t => {
  let changes = 0
  runSchedules(SCHEDULES, 1, chance => {
    const world = new World(chance)
    let wasClassic = true
    for (let step = 0; step < STEPS; step++) {
      world.step()
      world.checkOwners()
      const isClassic = world.epochs() === null
      if (isClassic !== wasClassic) changes++
      wasClassic = isClassic
    }
    world.comeToRest()
    world.offsets.verify(world.shell, 'g')
  })
  t.ok(changes > SCHEDULES, `no schedule breaks a promise in ${changes} changes of protocol`)
})
