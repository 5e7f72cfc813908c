/**
 * The replicas at rest: all of them in sync and equally long, and what lies in their files the same, byte for byte. Of
 * compacted logs, which each replica compacts for itself, the newest record of each key counts; that is the history's
 * to check, by reading from the leader.
 */
import { type PartitionHost } from '../../broker/runtime/partition-host.ts'
import { type ClusterState } from './cluster-state.ts'
import { type Machine } from './world/machine.ts'
import { type Scheduler } from './world/scheduler.ts'
import { Violation } from './world/violation.ts'

const LOOK_EVERY_MS = 500
const LENGTH_ENDS = 12

export class Replicas {
  readonly #scheduler: Scheduler
  readonly #machines: readonly Machine[]
  readonly #state: ClusterState
  #lookMs = 0
  #isEven = false
  /** What is not even, for who waits in vain. */
  uneven = ''

  constructor(scheduler: Scheduler, machines: readonly Machine[], state: ClusterState) {
    this.#scheduler = scheduler
    this.#machines = machines
    this.#state = state
  }

  /** Whether every partition has its leader, all its replicas in sync, and all of them the same end. */
  isEven(): boolean {
    const { nowMs } = this.#scheduler
    if (nowMs < this.#lookMs) return this.#isEven
    this.#lookMs = nowMs + LOOK_EVERY_MS
    this.#isEven = this.#look()
    return this.#isEven
  }

  #look(): boolean {
    for (const { topicId, name, partitions } of this.#state.image.topics()) {
      for (const { partition, leader, leaderEpoch, replicas, isr, adding, removing } of partitions) {
        this.uneven = `${name}-${partition}: leader ${leader} epoch ${leaderEpoch} replicas ${replicas.join()} isr ${isr.join()}`
        const isSettled = isr.length === replicas.length && adding.length + removing.length === 0
        if (leader < 0 || !isSettled) return false
        const hosts = this.hosts(topicId, partition, replicas)
        if (hosts.length < replicas.length) return false
        const ends = hosts.map(
          host => `${host.role} ${host.leaderEpoch}: ${host.highWatermark} ${host.state.logEndOffset}`,
        )
        this.uneven += ` | ${ends.join(' | ')}`
        const [first] = hosts
        for (const host of hosts) {
          const isSame =
            host.leaderEpoch === leaderEpoch &&
            host.highWatermark === first!.highWatermark &&
            host.state.logEndOffset === host.highWatermark
          if (!isSame) return false
        }
      }
    }
    this.uneven = ''
    return true
  }

  hosts(topicId: string, partition: number, replicas: readonly number[]): PartitionHost[] {
    const hosts: PartitionHost[] = []
    for (const machine of this.#machines) {
      if (!replicas.includes(machine.brokerId) || machine.running === null) continue
      for (const host of machine.running.context.partitions.hosts())
        if (host.topicId === topicId && host.partition === partition && host.online) hosts.push(host)
    }
    return hosts
  }

  /** Compares the files. Throws a Violation. */
  async compare(): Promise<void> {
    for (const { topicId, partitions } of this.#state.image.topics()) {
      for (const { partition, replicas } of partitions) {
        const hosts = this.hosts(topicId, partition, replicas)
        const [first] = hosts
        if (first === undefined || first.state.config.cleanupPolicy.includes('compact')) continue
        const from = Math.max(...hosts.map(({ state }) => state.logStartOffset))
        const to = Math.min(...hosts.map(({ highWatermark }) => highWatermark))
        const logs = await Promise.all(hosts.map(host => this.#batches(host, from, to)))
        for (const [index, log] of logs.entries()) {
          const difference = firstDifference(logs[0]!, log)
          if (difference === null) continue
          const folders = `${hosts[0]!.directory} and ${hosts[index]!.directory}`
          throw new Violation('replicas-differ', `${folders} from ${from} to ${to}: ${difference}`)
        }
      }
    }
  }

  /** Every batch with a record in [from, to), as the files have them. */
  async #batches(host: PartitionHost, from: number, to: number): Promise<Buffer[]> {
    const machine = this.#machines.find(({ dataFolder }) => host.directory.startsWith(`${dataFolder}/`))!
    const disk = machine.disk.disk.view(() => null)
    const parts: Buffer[] = []
    for (const { name } of await disk.list(host.directory)) {
      if (!name.endsWith('.log')) continue
      const path = `${host.directory}/${name}`
      const bytes = Buffer.alloc((await disk.size(path)) ?? 0)
      const file = await disk.open(path, 'read')
      await file.read(bytes, 0)
      await file.close()
      let next = Number.parseInt(name, 10)
      for (let at = 0; at + 61 <= bytes.length; ) {
        const length = LENGTH_ENDS + bytes.readInt32BE(at + 8)
        const baseOffset = Number(bytes.readBigInt64BE(at))
        const lastOffset = baseOffset + bytes.readInt32BE(at + 23)
        // A file may be longer than what was written to it, and hold what it held as another segment before.
        if (bytes[at + 16] !== 2 || baseOffset < next || next >= to) break
        next = lastOffset + 1
        if (lastOffset >= from && baseOffset < to) parts.push(bytes.subarray(at, at + length))
        at += length
      }
    }
    return parts
  }
}

function firstDifference(a: readonly Buffer[], b: readonly Buffer[]): string | null {
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const [one, other] = [a[index], b[index]]
    if (one === undefined || other === undefined || !one.equals(other)) return `${say(one)}, ${say(other)}`
  }
  return null
}

function say(batch: Buffer | undefined): string {
  if (batch === undefined) return 'nothing'
  const lastOffset = batch.readBigInt64BE(0) + BigInt(batch.readInt32BE(23))
  const checksum = batch.readUInt32BE(17).toString(16)
  return `${batch.readBigInt64BE(0)} to ${lastOffset} of epoch ${batch.readInt32BE(12)} with checksum ${checksum}`
}
