/**
 * What must hold inside of every broker between any two events. A partition's state is looked at in turn, a few at a
 * time, so that looking costs less than what is looked at.
 */
import { type Broker } from '../../broker/broker.ts'
import { type PartitionHost } from '../../broker/runtime/partition-host.ts'
import { type History } from './history.ts'
import { type Machine } from './world/machine.ts'
import { type Scheduler } from './world/scheduler.ts'
import { Violation } from './world/violation.ts'

interface Known {
  life: number
  highWatermark: number
  leaderEpoch: number
  logStartOffset: number
}

const ALL_EVERY = 64

export class Invariants {
  readonly #scheduler: Scheduler
  readonly #machines: readonly Machine[]
  readonly #history: History
  readonly #known = new Map<string, Known>()
  #broker: Broker | null = null
  #hosts: PartitionHost[] = []
  #next = 0

  constructor(scheduler: Scheduler, machines: readonly Machine[], history: History) {
    this.#scheduler = scheduler
    this.#machines = machines
    this.#history = history
  }

  /** After every event. Throws a Violation. */
  check(): void {
    const { events } = this.#scheduler
    const machine = this.#machines[events % this.#machines.length]!
    const broker = machine.running
    if (broker === null) return
    if (this.#broker !== broker || events % ALL_EVERY === 0) {
      this.#broker = broker
      this.#hosts = [...broker.context.partitions.hosts()]
    }
    const host = this.#hosts[this.#next++ % this.#hosts.length]
    if (host !== undefined) this.#checkHost(machine, host)
  }

  #checkHost(machine: Machine, host: PartitionHost): void {
    if (!host.online) return
    const { highWatermark, lastStableOffset, leaderEpoch, state } = host
    const { logStartOffset, logEndOffset, durableOffset, writtenOffset } = state
    const ordered =
      logStartOffset <= lastStableOffset &&
      lastStableOffset <= highWatermark &&
      highWatermark <= writtenOffset &&
      durableOffset <= writtenOffset &&
      writtenOffset <= logEndOffset
    if (!ordered) {
      const facts = JSON.stringify(host.describe())
      throw new Violation('offsets-out-of-order', `${host.name} of broker ${machine.brokerId}: ${facts}`)
    }
    const known = this.#knownOf(machine, host)
    if (leaderEpoch < known.leaderEpoch)
      throw new Violation('epoch-back', `${host.name}: epoch ${leaderEpoch} after ${known.leaderEpoch}`)
    if (highWatermark < known.highWatermark)
      throw new Violation(
        'hw-back',
        `${host.name}: high watermark ${highWatermark} after ${known.highWatermark}`,
      )
    if (logStartOffset < known.logStartOffset)
      throw new Violation(
        'start-back',
        `${host.name}: starts at ${logStartOffset}, not ${known.logStartOffset}`,
      )
    if (highWatermark !== known.highWatermark) this.#scheduler.note(highWatermark)
    known.highWatermark = highWatermark
    known.leaderEpoch = leaderEpoch
    known.logStartOffset = logStartOffset
    const promised = this.#history.promisedEnd(host.name)
    if (promised !== undefined && highWatermark < promised) {
      throw new Violation(
        'lost-record',
        `${host.name}: records up to ${promised} were acknowledged or read, and the high watermark is ${highWatermark}`,
      )
    }
  }

  #knownOf(machine: Machine, host: PartitionHost): Known {
    const name = `${machine.brokerId}/${host.topicId}/${host.partition}`
    let known = this.#known.get(name)
    if (known === undefined) {
      known = { life: machine.lives, highWatermark: 0, leaderEpoch: -1, logStartOffset: 0 }
      this.#known.set(name, known)
    }
    // A crash may take back what nobody was promised: the history knows what was.
    if (known.life !== machine.lives) {
      known.life = machine.lives
      known.highWatermark = 0
      known.logStartOffset = 0
    }
    return known
  }
}
