/**
 * The cluster as its metadata store has it: the truth that no broker's image is ahead of. Read only when somebody asks,
 * as it costs a walk through all records.
 */
import { ClusterImage, type PartitionImage } from '../../broker/controller/image.ts'
import { type WatchEvent } from '../../broker/metastore/metastore.ts'
import { ClusterKeys } from '../../broker/runtime/cluster-keys.ts'
import { type Machine } from './world/machine.ts'
import { type MetaServer } from './world/meta-server.ts'
import { Violation } from './world/violation.ts'

/** How long a broker that is gone may stay in sync, while the controller and the store are well. */
const FENCED_WITHIN_MS = 30_000

export type PartitionState = Omit<PartitionImage, 'revision'>

/** Told of a partition before and after a change; true: it has seen what it waited for. */
type Listener = (before: PartitionState, after: PartitionState) => boolean

interface Waiting<L> {
  readonly untilMs: number
  readonly listener: L
}

export class ClusterState {
  readonly #server: MetaServer
  readonly #machines: readonly Machine[]
  readonly #keys: ClusterKeys
  #image = new ClusterImage()
  #revision = 0
  /** By partition and broker: since when it is in sync without being there. */
  readonly #ghosts = new Map<string, number>()
  /** By topic id and number, as last written. */
  readonly #partitions = new Map<string, PartitionState>()
  readonly #waiting = new Set<Waiting<Listener>>()
  readonly #waitingForEnd = new Set<Waiting<() => void> & { readonly broker: number }>()

  /** `fail` is told of a Violation. */
  constructor(
    server: MetaServer,
    machines: readonly Machine[],
    clusterId: string,
    fail: (error: unknown) => void,
  ) {
    this.#server = server
    this.#machines = machines
    this.#keys = new ClusterKeys(clusterId)
    // It hears of every change at once, before those who learn of it over the network.
    server.watchers.add({ prefix: this.#keys.prefix }, server.state.revision + 1, {
      changed: ({ events }) => {
        try {
          for (const event of events) this.#changed(event)
        } catch (error) {
          fail(error)
        }
      },
      ended: fail,
    })
  }

  get image(): ClusterImage {
    const { state } = this.#server
    if (state.revision === this.#revision) return this.#image
    this.#revision = state.revision
    this.#image = new ClusterImage()
    for (const entry of state.range({ prefix: this.#keys.prefix }).entries) {
      const record = this.#keys.record(entry.key, entry)
      if (record !== null) this.#image.apply(record, entry.modRevision)
    }
    return this.#image
  }

  /** Calls `listener` at every change of a partition until it returns true, for so long. */
  when(withinMs: number, listener: Listener): void {
    this.#waiting.add({ untilMs: this.#server.scheduler.nowMs + withinMs, listener })
  }

  /** Calls `listener` the moment that the registration of a broker ends, if it does within so long. */
  whenGone(broker: number, withinMs: number, listener: () => void): void {
    this.#waitingForEnd.add({ broker, untilMs: this.#server.scheduler.nowMs + withinMs, listener })
  }

  #changed(event: WatchEvent): void {
    const isPut = event.type === 'put'
    const record = this.#keys.record(isPut ? event.entry.key : event.key, isPut ? event.entry : null)
    if (record?.type === 'broker-gone') this.#gone(record.broker)
    if (record?.type !== 'partition') return
    const { type: _type, ...after } = record
    const key = `${after.topicId}/${after.partition}`
    const before = this.#partitions.get(key)
    this.#partitions.set(key, after)
    if (before === undefined) return
    // Whoever writes has seen what was there: nobody overwrites what came after.
    if (after.partitionEpoch <= before.partitionEpoch || after.leaderEpoch < before.leaderEpoch)
      throw new Violation(
        'partition-back',
        `${key}: ${JSON.stringify(after)} was written over ${JSON.stringify(before)}`,
      )
    const { nowMs } = this.#server.scheduler
    for (const waiting of [...this.#waiting]) {
      if (waiting.untilMs < nowMs || waiting.listener(before, after)) this.#waiting.delete(waiting)
    }
  }

  #gone(broker: number): void {
    const { nowMs } = this.#server.scheduler
    for (const waiting of [...this.#waitingForEnd]) {
      if (waiting.untilMs >= nowMs && waiting.broker !== broker) continue
      this.#waitingForEnd.delete(waiting)
      if (waiting.untilMs >= nowMs) waiting.listener()
    }
  }

  /**
   * Whether each partition has all its replicas in sync, which is where another fault hurts nobody yet. A broker that
   * came back sooner than anybody noticed may still be written down as in sync: it counts from when the controller has
   * let it in, as it has been taken out of everything by then.
   */
  isWhole(): boolean {
    const { brokers } = this.image
    if (!this.#machines.every(({ brokerId }) => brokers.isUnfenced(brokerId))) return false
    for (const { partitions } of this.image.topics())
      for (const { replicas, isr, leader } of partitions)
        if (leader < 0 || isr.length < replicas.length) return false
    return true
  }

  /** Throws a Violation where a broker that is gone stays in sync for too long. Called now and then. */
  checkGhosts(nowMs: number): void {
    if (!this.#server.hasLeader || this.image.brokers.controller === null) this.#ghosts.clear()
    const seen = new Set<string>()
    for (const { name, partitions } of this.image.topics()) {
      for (const { partition, isr } of partitions) {
        // The last one stays: there is nobody to whom more could be promised.
        if (isr.length < 2) continue
        for (const broker of isr) {
          if (this.image.brokers.isUnfenced(broker)) continue
          const ghost = `${name}-${partition} broker ${broker}`
          seen.add(ghost)
          const sinceMs = this.#ghosts.get(ghost) ?? nowMs
          this.#ghosts.set(ghost, sinceMs)
          if (nowMs - sinceMs > FENCED_WITHIN_MS && this.#controllerIsWell())
            throw new Violation('fenced-in-isr', `${ghost} is fenced and in sync since ${sinceMs} ms`)
        }
      }
    }
    for (const ghost of this.#ghosts.keys()) if (!seen.has(ghost)) this.#ghosts.delete(ghost)
  }

  #controllerIsWell(): boolean {
    const { controller } = this.image.brokers
    const machine = this.#machines.find(({ brokerId }) => brokerId === controller?.broker)
    const process = machine?.process
    if (machine?.running == null || process == null || process.isPaused) return false
    return this.#server.hears(process) && this.#server.reaches(process)
  }
}
