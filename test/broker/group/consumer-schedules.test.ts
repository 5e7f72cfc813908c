/**
 * Random lives of consumer groups: members come, go, die and miss answers, topics grow, the broker crashes and forgets
 * what was not durable. Whatever happens, nobody has what somebody else has, an old epoch commits nothing, no
 * acknowledged offset is lost, the log says all there is to know, and when the noise stops the group comes to rest.
 */
import t from 'tap'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { Consumer } from './consumers.ts'
import { commitCommand } from './members.ts'
import { type Chance, check, OffsetWatch, runSchedules, Tally } from './schedules.ts'
import { TestShell, topicId } from './shell.ts'

const SCHEDULES = 5000
const STEPS = 40
/** Each of these must have been met so often. */
const LEAST = 20
const DEATHS = ['joining', 'giving up', 'waiting for others', 'stable'].map(
  phase => `a member dies while ${phase}`,
)
const CRASHES = ['Empty', 'Assigning', 'Reconciling', 'Stable'].map(
  state => `the coordinator dies in ${state}`,
)
const MET = [...DEATHS, ...CRASHES, 'an old epoch commits', 'a stranger commits', 'an instance starts twice']
const tally = new Tally()
/** A session, a rebalance timeout for each of two members that hold back one after the other, and some heartbeats. */
const REST_WITHIN_MS = 180_000

function partitionsIn(assignment: {
  readonly topicPartitions: readonly { readonly topicId: string; readonly partitions: readonly number[] }[]
}): Set<string> {
  return new Set(
    assignment.topicPartitions.flatMap(topic => topic.partitions.map(each => `${topic.topicId}/${each}`)),
  )
}

class World {
  readonly shell: TestShell
  readonly offsets = new OffsetWatch()
  readonly chance: Chance
  consumers: Consumer[] = []
  partitionCount = 4

  constructor(chance: Chance) {
    this.chance = chance
    // In some, whoever joins waits with others for the next target, as in large groups.
    this.shell = new TestShell({ consumerAssignmentIntervalMs: chance.oneIn(3) ? 1500 : 0 })
    this.shell.topics.set('t', this.partitionCount)
    this.shell.topics.set('u', 1 + chance.below(3))
  }

  step(): void {
    const { chance, shell } = this
    const consumer = this.consumers.length === 0 ? undefined : chance.pick(this.consumers)
    const roll = chance.below(100)
    if (consumer === undefined || (roll < 8 && this.consumers.length < 6)) this.#join()
    else if (roll < 60) this.#beat(consumer)
    else if (roll < 65) this.#leave(consumer)
    else if (roll < 68) this.#die(consumer)
    else if (roll < 80) this.#commit(consumer)
    else if (roll < 88) shell.advance(chance.below(chance.oneIn(5) ? 30_000 : 3000))
    else if (roll < 92) shell.flush()
    else if (roll < 94) this.#growTopic()
    else if (roll < 97) shell.syncsAtOnce = chance.oneIn(2)
    else this.#crash()
  }

  /** Nobody hears of it. */
  #die(consumer: Consumer): void {
    this.consumers = this.consumers.filter(other => other !== consumer)
    tally.count(`a member dies while ${this.#phaseOf(consumer)}`)
  }

  #phaseOf(consumer: Consumer): string {
    const member = this.describe()?.members.find(({ memberId }) => memberId === consumer.memberId)
    if (member === undefined || consumer.epoch === 0) return 'joining'
    const given = partitionsIn(member.assignment)
    if ([...consumer.owned].some(partition => !given.has(partition))) return 'giving up'
    const wanted = [...partitionsIn(member.targetAssignment)]
    return wanted.some(partition => !given.has(partition)) ? 'waiting for others' : 'stable'
  }

  #join(): void {
    const { chance } = this
    const isStatic = chance.oneIn(3)
    const instanceId = isStatic ? `i${chance.below(3)}` : null
    if (isStatic && this.consumers.some(({ options }) => options.instanceId === instanceId)) {
      tally.count('an instance starts twice')
    }
    const byPattern = chance.oneIn(6)
    const topics = chance.oneIn(4) ? ['t'] : ['t', 'u']
    this.consumers.push(
      new Consumer(this.shell, {
        instanceId,
        topics: byPattern ? null : topics,
        pattern: byPattern ? '[tu]' : null,
        assignor: chance.pick([null, 'uniform', 'range']),
        rebalanceTimeoutMs: 20_000,
      }),
    )
  }

  /**
   * The answer may be held until it is durable, and may get lost on its way. A client asks again only when it has given
   * the connection up, and with it the answer before.
   */
  #beat(consumer: Consumer): void {
    const isLost = this.chance.oneIn(10)
    this.#send(consumer, this.chance.oneIn(3) ? consumer.quietCommand() : consumer.command(), isLost)
  }

  #send(consumer: Consumer, command: ReturnType<Consumer['command']>, isLost: boolean): void {
    const attempt = ++consumer.attempts
    this.shell.send(command, reply => {
      if (!isLost && attempt === consumer.attempts && reply.kind === 'consumer-group-heartbeat')
        consumer.take(reply.answer)
    })
  }

  #leave(consumer: Consumer): void {
    const goesForAWhile = consumer.options.instanceId != null && this.chance.oneIn(2)
    this.consumers = this.consumers.filter(other => other !== consumer)
    this.shell.send(consumer.leaveCommand(goesForAWhile ? -2 : -1), () => {})
    if (goesForAWhile) this.consumers.push(new Consumer(this.shell, consumer.options))
  }

  #commit(consumer: Consumer): void {
    const isOld = consumer.epoch > 1 && this.chance.oneIn(4)
    const generationId = isOld ? consumer.epoch - 1 : consumer.epoch
    const partition = this.chance.below(this.partitionCount)
    const offset = this.offsets.next()
    const isStranger = this.chance.oneIn(8)
    const memberId = isStranger ? 'stranger' : consumer.memberId
    const known = this.memberEpochs().get(memberId)
    if (isOld) tally.count('an old epoch commits')
    if (isStranger) tally.count('a stranger commits')
    this.shell.send(commitCommand({ memberId, generationId, partition, offset }), reply => {
      if (reply.kind !== 'offset-commit') return
      const errorCode = reply.answer.topics[0]?.partitions[0]?.errorCode
      if (generationId !== known)
        check(errorCode !== ErrorCode.NONE, `epoch ${generationId} of ${known} may commit`)
      if (errorCode === ErrorCode.NONE) this.offsets.acknowledge(`${topicId('t')}/${partition}`, offset)
    })
  }

  #growTopic(): void {
    if (this.partitionCount >= 8) return
    this.partitionCount++
    this.shell.topics.set('t', this.partitionCount)
  }

  #crash(): void {
    tally.count(`the coordinator dies in ${this.describe()?.groupState}`)
    this.shell.crash(this.chance.below(4))
    this.offsets.verify(this.shell, 'g')
  }

  describe() {
    const decision = this.shell.shard.decide(
      { kind: 'consumer-group-describe', token: 0, groupIds: ['g'] },
      this.shell.nowMs,
    )
    const reply = decision.replies[0]
    return reply?.kind === 'consumer-group-describe' ? reply.answer[0] : undefined
  }

  memberEpochs(): Map<string, number> {
    return new Map(this.describe()?.members.map(({ memberId, memberEpoch }) => [memberId, memberEpoch]))
  }

  /** Of those who are still in the group, nobody has what is given to another. */
  checkOwners(): void {
    const owners = new Map<string, string>()
    const members = this.describe()?.members ?? []
    for (const { memberId, assignment } of members) {
      for (const { topicId: id, partitions } of assignment.topicPartitions) {
        for (const partition of partitions) {
          const other = owners.get(`${id}/${partition}`)
          check(other === undefined, `${other} and ${memberId} are both given ${partition}`)
          owners.set(`${id}/${partition}`, memberId)
        }
      }
    }
    const inGroup = new Set(members.map(({ memberId }) => memberId))
    for (const consumer of this.consumers.filter(({ memberId }) => inGroup.has(memberId))) {
      for (const partition of consumer.owned) {
        const other = owners.get(partition) ?? consumer.memberId
        check(
          other === consumer.memberId,
          `${consumer.memberId} still has ${partition}, and ${other} is given it`,
        )
        owners.set(partition, consumer.memberId)
      }
    }
  }

  /** What a fresh start would know is what is known. */
  checkReplay(): void {
    const ask = { kind: 'consumer-group-describe', token: 0, groupIds: ['g'] } as const
    const live = JSON.stringify(this.shell.shard.decide(ask, 0).replies)
    const replayed = JSON.stringify(this.shell.replayed().decide(ask, 0).replies)
    check(live === replayed, `a replay knows ${replayed} and not ${live}`)
    check(this.shell.shard.offsetCount === this.shell.replayed().offsetCount, 'a replay knows other offsets')
  }

  /** The noise stops: all who are left speak every two seconds. */
  comeToRest(): void {
    const { shell } = this
    shell.syncsAtOnce = true
    shell.flush()
    // Of two processes with one instance id only one can be in; the others stop.
    const instances = new Map(
      this.consumers.map(consumer => [consumer.options.instanceId ?? consumer.memberId, consumer]),
    )
    this.consumers = [...instances.values()]
    if (this.consumers.length === 0) return
    const untilMs = shell.nowMs + REST_WITHIN_MS
    while (!this.isAtRest()) {
      check(shell.nowMs < untilMs, `the group is still ${JSON.stringify(this.describe())}`)
      for (const consumer of this.consumers) this.#send(consumer, consumer.command(), false)
      shell.advance(2000)
      this.checkOwners()
    }
  }

  isAtRest(): boolean {
    const group = this.describe()
    if (group?.groupState !== 'Stable' || group.members.length !== this.consumers.length) return false
    const owned = this.consumers.flatMap(consumer => [...consumer.owned])
    const epochs = this.memberEpochs()
    if (this.consumers.some(consumer => epochs.get(consumer.memberId) !== consumer.epoch)) return false
    return owned.filter(partition => partition.startsWith(topicId('t'))).length === this.readPartitions()
  }

  /** All of 't', if anybody at all reads it. */
  readPartitions(): number {
    const reads = this.consumers.some(
      ({ options }) => options.topics?.includes('t') || options.pattern === '[tu]',
    )
    return reads ? this.partitionCount : 0
  }
}

t.test(`${SCHEDULES} random lives of a consumer group`, async t => {
  runSchedules(SCHEDULES, 1, chance => {
    const world = new World(chance)
    for (let step = 0; step < STEPS; step++) {
      world.step()
      world.checkOwners()
    }
    world.comeToRest()
    world.checkOwners()
    world.checkReplay()
    world.offsets.verify(world.shell, 'g')
  })
  for (const met of MET)
    t.ok(tally.of(met) >= LEAST, `${met}: ${tally.of(met)} times, and no promise is broken`)
})
