/**
 * Misfortune that waits for its moment: what chance alone would bring about once in thousands of seeds, because several
 * things must go wrong within one another. Each ambush stays within the promised model, as all faults do.
 */
import { type SeededRandom } from '../../broker/env-memory/random.ts'
import { type ClusterState, type PartitionState } from './cluster-state.ts'
import { type Faults } from './faults.ts'
import { type Machine } from './world/machine.ts'
import { KIND } from './world/scheduler.ts'

export interface AmbushOptions {
  readonly faults: Faults
  readonly state: ClusterState
  /** Of its own, so that it does not shift other faults. */
  readonly random: SeededRandom
  /** How long a broker's registration lasts without a word of it, in ms. */
  readonly sessionMs: number
  /** How long a follower may lag, in ms. */
  readonly lagMs: number
  /** Has the partition led by the first of these replicas, which are those that it has. */
  readonly handOver: (topic: string, partition: number, replicas: readonly number[]) => void
}

/** What it waits for comes within so long, or it gives up. */
const PATIENCE_MS = 60_000

type Ambush = (options: AmbushOptions) => string

export function planAmbushes(options: AmbushOptions, fromMs: number, untilMs: number): void {
  const { faults, random } = options
  const { scheduler, note } = faults.options
  // Some seeds know none.
  if (random.int(4) === 0) return
  const everyMs = 25_000 + random.int(80_000)
  for (let atMs = fromMs; ; ) {
    atMs += everyMs * 2 * random.float()
    if (atMs >= untilMs) return
    const ambush = AMBUSHES[random.int(AMBUSHES.length)]!
    scheduler.at(atMs, KIND.fault, () => {
      if (!faults.areOver) note(`ambush: ${ambush(options)}`)
    })
  }
}

/** Cuts both ways of a link. */
function part({ faults }: AmbushOptions, a: string, b: string, forMs: number): void {
  const { network } = faults.options
  faults.endAfter(forMs, network.cut(a, b))
  faults.endAfter(forMs, network.cut(b, a))
}

function machineOf({ faults }: AmbushOptions, broker: number): Machine {
  return faults.options.machines.find(({ brokerId }) => brokerId === broker)!
}

/** A leader that others could take over from. */
function someLed(
  { state, random }: AmbushOptions,
  topic?: string,
): (PartitionState & { name: string }) | null {
  const led: (PartitionState & { name: string })[] = []
  for (const { name, partitions } of state.image.topics())
    for (const partition of partitions)
      if (partition.leader >= 0 && partition.isr.length > 1 && (topic === undefined || name === topic))
        led.push({ ...partition, name })
  return led.length === 0 ? null : led[random.int(led.length)]!
}

function kill({ faults }: AmbushOptions, machine: Machine): void {
  if (!faults.areOver && faults.mayKill(machine)) machine.kill()
}

/** The leader does not hear that a follower is in sync from now on, and that follower is away; then the leader goes. */
function deafToItsIsr(options: AmbushOptions): string {
  const { faults, state, random } = options
  state.when(PATIENCE_MS, (before, after) => {
    if (faults.areOver || before.leader !== after.leader) return false
    const joined = after.isr.find(broker => !before.isr.includes(broker))
    if (joined === undefined || joined === after.leader) return false
    const { network, metaServer } = faults.options
    const leader = machineOf(options, after.leader)
    const forMs = 1000 + random.int(options.sessionMs + 4000)
    faults.endAfter(forMs, network.cut(metaServer!.host, leader.host))
    part(options, leader.host, machineOf(options, joined).host, forMs)
    if (random.int(3) > 0) faults.endAfter(random.int(forMs), () => kill(options, leader))
    return true
  })
  return 'the next leader that lets somebody in does not hear of it'
}

/**
 * A leader that its heir does not follow for a while is relieved by it; soon after, the heir dies. Where the old leader
 * leads again, it may be left alone and die as well.
 */
function twoFailovers(options: AmbushOptions): string {
  const { faults, state, random, lagMs } = options
  const led = someLed(options)
  const heir = led?.isr.find(broker => broker !== led.leader)
  if (led === null || heir === undefined) return 'nobody to relieve'
  const { leader, name, partition, replicas, topicId } = led
  const waitMs = Math.floor(Math.min(lagMs, 12_000) * (0.3 + 0.5 * random.float()))
  part(
    options,
    machineOf(options, leader).host,
    machineOf(options, heir).host,
    waitMs + 2000 + random.int(6000),
  )
  const order = [heir, leader, ...replicas.filter(broker => broker !== heir && broker !== leader)]
  faults.endAfter(waitMs, () => {
    if (!faults.areOver) options.handOver(name, partition, order)
  })
  state.when(waitMs + 5000, (before, after) => {
    if (after.topicId !== topicId || after.partition !== partition) return false
    if (before.leader !== leader || after.leader !== heir) return false
    faults.endAfter(20 + random.int(random.int(2) === 0 ? 300 : 3000), () =>
      kill(options, machineOf(options, heir)),
    )
    if (random.int(2) === 0) leadAlone(options, after, leader)
    return true
  })
  return `broker ${heir} relieves broker ${leader} of ${name}-${partition}, and dies`
}

/** The next time that this broker leads, no other one hears of it, and it dies. */
function leadAlone(options: AmbushOptions, { topicId, partition }: PartitionState, broker: number): void {
  const { faults, state, random } = options
  state.when(20_000, (before, after) => {
    const isMeant = after.topicId === topicId && after.partition === partition
    if (faults.areOver || !isMeant || before.leader === broker || after.leader !== broker) return false
    const leader = machineOf(options, broker)
    const forMs = 200 + random.int(4000)
    for (const other of faults.options.machines)
      if (other !== leader) part(options, leader.host, other.host, forMs)
    faults.endAfter(forMs, () => kill(options, leader))
    return true
  })
}

/** All others lose their registrations; then the one that is left loses its power. */
function lastOneFalls(options: AmbushOptions): string {
  const { faults, random, sessionMs } = options
  const led = someLed(options)
  if (led === null) return 'nobody leads'
  const last = machineOf(options, led.leader)
  faults.lookWhetherWhole()
  const { machines, metaServer } = faults.options
  const goneMs = sessionMs + 1500 + random.int(3000)
  const forMs = goneMs + 2000 + random.int(15_000)
  for (const machine of machines) if (machine !== last) part(options, machine.host, metaServer!.host, forMs)
  faults.endAfter(goneMs, () => {
    if (!faults.areOver && faults.mayCutPower(last)) last.cutPower(20 + random.int(2000))
  })
  return `all but broker ${last.brokerId} lose the store for ${forMs} ms, and it loses power`
}

/** A leader loses its power and is back before anybody has noticed. */
function blink(options: AmbushOptions): string {
  const led = someLed(options)
  if (led === null) return 'nobody leads'
  const leader = machineOf(options, led.leader)
  if (!options.faults.mayCutPower(leader)) return 'leave the power on'
  leader.cutPower(5 + options.random.int(200))
  return `broker ${led.leader} loses its power for a moment`
}

/** A coordinator of groups does not hear what becomes of it; clients that know it still reach it. */
function deafCoordinator(options: AmbushOptions): string {
  const led = someLed(options, '__consumer_offsets')
  if (led === null) return 'nobody coordinates'
  const forMs = options.sessionMs + 10_000 + options.random.int(25_000)
  part(options, machineOf(options, led.leader).host, options.faults.options.metaServer!.host, forMs)
  return `coordinator ${led.leader} loses the store for ${forMs} ms`
}

/** A broker falls silent; when that is noticed, what the controller writes comes late, mostly after its term. */
function lateController(options: AmbushOptions): string {
  const { faults, state, random, sessionMs } = options
  const { controller } = state.image.brokers
  if (controller === null) return 'nobody controls'
  const { machines, metaServer, network } = faults.options
  const others = machines.filter(({ brokerId }) => brokerId !== controller.broker)
  const silent = others[random.int(others.length)]!
  part(options, silent.host, metaServer!.host, sessionMs + 2000 + random.int(10_000))
  state.whenGone(silent.brokerId, sessionMs + 5000, () => {
    const late = machineOf(options, state.image.brokers.controller?.broker ?? controller.broker)
    faults.endAfter(sessionMs + random.int(12_000), network.cut(late.host, metaServer!.host))
  })
  return `controller ${controller.broker} is late when broker ${silent.brokerId} falls silent`
}

const AMBUSHES: readonly Ambush[] = [
  deafToItsIsr,
  twoFailovers,
  lastOneFalls,
  deafCoordinator,
  lateController,
  blink,
]
