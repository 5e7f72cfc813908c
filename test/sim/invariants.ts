/**
 * What must hold inside of every broker, and between any two, between any two events. A partition's state is looked at
 * in turn, a few at a time, so that looking costs less than what is looked at.
 */
import { type Broker } from '../../broker/broker.ts'
import { type PartitionHost } from '../../broker/runtime/partition-host.ts'
import { type History } from './history.ts'
import { LogMatching } from './log-matching.ts'
import { type Machine } from './world/machine.ts'
import { type Scheduler } from './world/scheduler.ts'
import { Violation } from './world/violation.ts'

interface Known {
  life: number
  host: PartitionHost
  highWatermark: number
  leaderEpoch: number
  logStartOffset: number
  wasEmpty: boolean
}

/** What is known of one machine's broker. */
interface Looked {
  broker: Broker | null
  hosts: PartitionHost[]
  next: number
  turns: number
}

const ALL_EVERY = 32

export class Invariants {
  readonly #scheduler: Scheduler
  readonly #machines: readonly Machine[]
  readonly #history: History
  readonly #logs = new LogMatching()
  readonly #looked: readonly Looked[]
  readonly #known = new Map<string, Known>()
  /** By partition and epoch, the only broker that may lead under it. */
  readonly #leaders = new Map<string, number>()
  /** By partition, the newest epoch under which somebody led. */
  readonly #newest = new Map<string, number>()

  constructor(scheduler: Scheduler, machines: readonly Machine[], history: History) {
    this.#scheduler = scheduler
    this.#machines = machines
    this.#history = history
    this.#looked = machines.map(() => ({ broker: null, hosts: [], next: 0, turns: 0 }))
  }

  /** Looks no more. */
  end(): void {
    this.#logs.end()
  }

  /** After every event. Throws a Violation. */
  check(): void {
    const { events } = this.#scheduler
    const index = events % this.#machines.length
    const machine = this.#machines[index]!
    const looked = this.#looked[index]!
    const broker = machine.running
    if (broker === null) return
    if (looked.broker !== broker || looked.turns++ % ALL_EVERY === 0) {
      looked.broker = broker
      looked.hosts = [...broker.context.partitions.hosts()]
    }
    const host = looked.hosts[looked.next++ % looked.hosts.length]
    if (host !== undefined) this.#checkHost(machine, host)
  }

  #checkHost(machine: Machine, host: PartitionHost): void {
    if (!host.online) return
    const { highWatermark, lastStableOffset, leaderEpoch, state } = host
    const { logStartOffset, logEndOffset, durableOffset, writtenOffset } = state
    const name = `${host.name} of broker ${machine.brokerId}`
    const ordered =
      logStartOffset <= lastStableOffset &&
      lastStableOffset <= highWatermark &&
      highWatermark <= writtenOffset &&
      durableOffset <= writtenOffset &&
      writtenOffset <= logEndOffset
    if (!ordered) {
      throw new Violation('offsets-out-of-order', `${name}: ${JSON.stringify(host.describe())}`)
    }
    const known = this.#knownOf(machine, host)
    if (leaderEpoch < known.leaderEpoch)
      throw new Violation('epoch-back', `${name}: epoch ${leaderEpoch} after ${known.leaderEpoch}`)
    // A log without a record may begin elsewhere: with the batch that holds its first offset.
    if (known.wasEmpty) known.highWatermark = known.logStartOffset = 0
    if (highWatermark < known.highWatermark)
      throw new Violation('hw-back', `${name}: high watermark ${highWatermark} after ${known.highWatermark}`)
    if (logStartOffset < known.logStartOffset)
      throw new Violation('start-back', `${name}: starts at ${logStartOffset}, not ${known.logStartOffset}`)
    if (highWatermark !== known.highWatermark) {
      this.#scheduler.note(highWatermark)
      this.#logs.committed(machine.brokerId, host, highWatermark)
    }
    known.highWatermark = highWatermark
    known.leaderEpoch = leaderEpoch
    known.logStartOffset = logStartOffset
    known.wasEmpty = logStartOffset === logEndOffset
    if (host.role === 'leader') this.#checkLeader(machine, host)
  }

  #checkLeader(machine: Machine, host: PartitionHost): void {
    const { leaderEpoch } = host
    const partition = `${host.topicId}/${host.partition}`
    const term = `${partition}/${leaderEpoch}`
    const leader = this.#leaders.get(term)
    if (leader === undefined) this.#leaders.set(term, machine.brokerId)
    else if (leader !== machine.brokerId)
      throw new Violation(
        'two-leaders',
        `${host.name}: brokers ${leader} and ${machine.brokerId} lead under epoch ${leaderEpoch}`,
      )
    const newest = this.#newest.get(partition) ?? -1
    if (leaderEpoch < newest) return
    this.#newest.set(partition, leaderEpoch)
    // Its high watermark may be behind that of the leader before, but it has all that was committed.
    const promised = this.#history.promisedEnd(host.name)
    if (promised !== undefined && host.state.logEndOffset < promised) {
      throw new Violation(
        'lost-record',
        `${host.name}: records up to ${promised} were acknowledged or read, and broker ${machine.brokerId} leads with ${host.state.logEndOffset}`,
      )
    }
  }

  #knownOf(machine: Machine, host: PartitionHost): Known {
    const name = `${machine.brokerId}/${host.topicId}/${host.partition}`
    let known = this.#known.get(name)
    if (known === undefined) {
      const nothing = { highWatermark: 0, leaderEpoch: -1, logStartOffset: 0, wasEmpty: true }
      known = { life: machine.lives, host, ...nothing }
      this.#known.set(name, known)
    }
    // A crash may take back what nobody was promised: the history knows what was. A replica that was taken away and
    // given back begins anew, too.
    if (known.life !== machine.lives || known.host !== host) {
      known.life = machine.lives
      known.highWatermark = 0
      known.logStartOffset = 0
    }
    if (known.host !== host) {
      known.host = host
      known.leaderEpoch = -1
    }
    return known
  }
}
