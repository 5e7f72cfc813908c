/**
 * Three replicas of a partition, their disks, and the metadata of their cluster, all moved one small step at a time:
 * who leads is told to each of them sooner or later, answers come from whom the asker takes for the leader, a crash
 * takes what was not on disk. The model knows what was acknowledged, and says when a rule is broken.
 */
import { DEFAULT_LOG_CONFIG } from '../../../broker/log/config.ts'
import { LeaderEpochCache } from '../../../broker/log/leader-epochs.ts'
import { LogState, replayBatch } from '../../../broker/log/log-state.ts'
import { ProducerState } from '../../../broker/log/producer-state.ts'
import { type IsrMember, type ReplicaEvent } from '../../../broker/replica/events.ts'
import { Replica } from '../../../broker/replica/replica.ts'
import { splitBatches, truncationOffset } from '../../../broker/replica/replicated-batches.ts'
import {
  batchBaseOffset,
  batchLastOffset,
  batchLeaderEpoch,
  batchProducerId,
  readBatchHeader,
} from '../../../client/protocol/batch.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { encodeBatch } from '../../../client/protocol/record.ts'
import {
  type BrokerId,
  type LeaderEpoch,
  type Offset,
  type ProducerEpoch,
  type ProducerId,
} from '../../../client/protocol/types.ts'

const WALL_MS = 1_700_000_000_000
export const LAG_MS = 100
const BROKERS = [1, 2, 3] as BrokerId[]

export type Step =
  | { readonly kind: 'produce'; readonly records: number }
  | { readonly kind: 'write' | 'sync' | 'fetch' | 'learn' | 'crash' | 'fail'; readonly broker: BrokerId }
  /** `survives`: the share of what was not on disk that is there after all. */
  | { readonly kind: 'restart'; readonly broker: BrokerId; readonly survives: number }
  | { readonly kind: 'elect'; readonly choice: number }
  /** What the oldest proposal comes to. */
  | { readonly kind: 'decide'; readonly accepts: boolean }
  /** Everybody writes, syncs and fetches. */
  | { readonly kind: 'round' | 'wait' }

/** The partition's record. */
interface Metadata {
  readonly leader: BrokerId
  readonly epoch: LeaderEpoch
  readonly partitionEpoch: number
  readonly revision: number
  readonly isr: readonly BrokerId[]
}

interface Proposal {
  readonly from: BrokerId
  readonly epoch: LeaderEpoch
  readonly revision: number
  readonly isr: readonly IsrMember[]
}

interface Node {
  readonly broker: BrokerId
  /** Counts its lives; null replica: it is down. */
  life: number
  replica: Replica<string> | null
  knows: Metadata | null
  disk: Buffer[]
  highWatermark: Offset
}

export class ClusterModel {
  readonly #nodes: readonly Node[]
  readonly #minInSync: number
  #metadata: Metadata
  #proposals: Proposal[] = []
  /** Where each acknowledged batch ends, by its producer. */
  readonly #acknowledged = new Map<bigint, number>()
  #nextProducer = 1n
  #nowMs = 0

  constructor(minInSync: number) {
    this.#minInSync = minInSync
    this.#metadata = {
      leader: BROKERS[0]!,
      epoch: 1 as LeaderEpoch,
      partitionEpoch: 1,
      revision: 1,
      isr: BROKERS,
    }
    this.#nodes = BROKERS.map(broker => ({
      broker,
      life: 1,
      replica: null,
      knows: null,
      disk: [],
      highWatermark: 0 as Offset,
    }))
    for (const node of this.#nodes) {
      this.#open(node)
      this.#learn(node)
    }
  }

  get acknowledged(): number {
    return this.#acknowledged.size
  }

  step(step: Step): void {
    switch (step.kind) {
      case 'produce':
        this.#produce(step.records)
        break
      case 'elect':
        this.#elect(step.choice)
        break
      case 'decide':
        this.#decide(step.accepts)
        break
      case 'wait':
        this.#nowMs += LAG_MS / 2
        for (const node of this.#nodes) this.#feed(node, { type: 'tick' })
        break
      case 'round':
        for (const node of this.#nodes) {
          for (const kind of ['write', 'sync', 'fetch'] as const) this.#one(kind, node)
        }
        break
      case 'restart':
        this.#restart(this.#node(step.broker), step.survives)
        break
      default:
        this.#one(step.kind, this.#node(step.broker))
    }
    this.#check()
  }

  /** No more faults: all are up, know all, and fetch until nothing is new. */
  settle(): void {
    for (const { broker } of this.#nodes) this.step({ kind: 'restart', broker, survives: 0 })
    if (this.#node(this.#metadata.leader).replica === null) throw new Error('a restart brings a broker up')
    for (let round = 0; round < 60; round++) {
      for (const { broker } of this.#nodes) {
        for (const kind of ['learn', 'fetch', 'write', 'sync'] as const) this.step({ kind, broker })
      }
      this.step({ kind: 'decide', accepts: true })
    }
    const [first, ...others] = this.#nodes.map(node => describe(node))
    for (const other of others) {
      if (other !== first) throw new Error(`replicas differ at rest: ${first} and ${other}`)
    }
    if (this.#metadata.isr.length < BROKERS.length) throw new Error('somebody never joins the ISR')
    for (const { replica } of this.#nodes) {
      if (replica!.highWatermark !== replica!.log.logEndOffset)
        throw new Error('not all is committed at rest')
    }
  }

  // -------------------------------------------------------------------------------------------- one broker

  #one(kind: 'write' | 'sync' | 'fetch' | 'learn' | 'crash' | 'fail', node: Node): void {
    if (node.replica === null) return
    const { log } = node.replica
    switch (kind) {
      case 'write':
        this.#feed(node, { type: 'written', endOffset: log.logEndOffset })
        return
      case 'sync':
        this.#feed(node, { type: 'synced', endOffset: log.writtenOffset })
        return
      case 'fail':
        if (log.writtenOffset === log.logEndOffset) return
        node.disk = node.disk.filter(batch => batchLastOffset(batch, 0) < log.writtenOffset)
        this.#feed(node, { type: 'write-failed', endOffset: log.writtenOffset, message: 'disk full' })
        return
      case 'crash':
        this.#crash(node)
        return
      case 'learn':
        this.#learn(node)
        return
      case 'fetch':
        this.#fetch(node)
        return
      default:
        kind satisfies never
    }
  }

  #learn(node: Node): void {
    const { leader, epoch, partitionEpoch, revision, isr } = this.#metadata
    node.knows = this.#metadata
    if (leader !== node.broker) this.#feed(node, { type: 'become-follower', epoch })
    else this.#feed(node, { type: 'become-leader', epoch, partitionEpoch, revision, replicas: BROKERS, isr })
  }

  #crash(node: Node): void {
    node.highWatermark = node.replica!.highWatermark
    const { durableOffset, writtenOffset } = node.replica!.log
    node.disk = node.disk.filter(batch => batchLastOffset(batch, 0) < writtenOffset)
    node.replica = null
    node.knows = null
    this.#lastDurable.set(node.broker, durableOffset)
  }

  readonly #lastDurable = new Map<BrokerId, Offset>()

  #restart(node: Node, survives: number): void {
    if (node.replica !== null) return
    const durable = this.#lastDurable.get(node.broker)!
    const loose = node.disk.filter(batch => batchLastOffset(batch, 0) >= durable).length
    node.disk = node.disk.slice(0, node.disk.length - loose + Math.floor(survives * (loose + 1)))
    node.life += 1
    this.#open(node)
    // It may have lost records of its epoch, which it would then write anew, and others: it leads in a new one only.
    const { leader, epoch, partitionEpoch, revision } = this.#metadata
    if (leader !== node.broker) return
    this.#metadata = {
      ...this.#metadata,
      epoch: (epoch + 1) as LeaderEpoch,
      partitionEpoch: partitionEpoch + 1,
      revision: revision + 1,
    }
  }

  #open(node: Node): void {
    const producers = new ProducerState(0 as Offset)
    const epochs = new LeaderEpochCache()
    for (const batch of node.disk) replayBatch(producers, epochs, readBatchHeader(batch, 0), WALL_MS)
    const log = new LogState({
      config: { ...DEFAULT_LOG_CONFIG, minInsyncReplicas: this.#minInSync },
      logStartOffset: 0 as Offset,
      logEndOffset: endOf(node.disk),
      epochs: epochs.entries,
      producers,
      rollJitter: 0,
    })
    const { broker: brokerId, highWatermark } = node
    node.replica = new Replica({ brokerId, log, highWatermark, lagTimeMaxMs: () => LAG_MS })
  }

  // --------------------------------------------------------------------------------------------- fetching

  /** One exchange, as follower, fetcher and leader have it; nothing of it takes time. */
  #fetch(node: Node): void {
    const { knows } = node
    const replica = node.replica!
    const { log } = replica
    if (knows === null || replica.role !== 'follower' || replica.ownOffset < log.logEndOffset) return
    const leader = this.#node(knows.leader)
    if (leader.replica?.role !== 'leader' || leader.replica.leaderEpoch !== replica.leaderEpoch) return
    const epoch = replica.leaderEpoch
    const fetchOffset = log.logEndOffset
    const diverging = this.#divergence(leader.replica.log, log.epochs.latestEpoch, fetchOffset)
    if (diverging !== null) {
      this.#cut(node, truncationOffset(log, diverging.epoch, diverging.endOffset))
      return
    }
    if (fetchOffset > leader.replica.log.writtenOffset) return
    if (leader.replica.inSync.standing(node.broker, node.life) !== 'known') return
    this.#feed(leader, {
      type: 'follower-fetched',
      replica: node.broker,
      brokerEpoch: node.life,
      fetchOffset,
      logStartOffset: log.logStartOffset,
      mayJoin: true,
    })
    const { writtenOffset } = leader.replica.log
    const sent = leader.disk
      .filter(batch => batchBaseOffset(batch, 0) >= fetchOffset && batchLastOffset(batch, 0) < writtenOffset)
      .slice(0, 2)
    const { highWatermark } = leader.replica
    const batches = splitBatches(Buffer.concat(sent), log, epoch)
    if (typeof batches === 'string') throw new Error(batches)
    for (const records of [...batches, null]) {
      const from = { epoch, highWatermark, logStartOffset: 0, wallMs: WALL_MS, active: ACTIVE }
      this.#feed(node, { type: 'replicate', records, ...from })
    }
  }

  #divergence(log: LogState, lastEpoch: LeaderEpoch, offset: Offset) {
    if (lastEpoch === -1) return null
    const end = log.epochs.endOffsetFor(lastEpoch, log.logEndOffset)
    if (end === null) throw new Error(`the leader knows nothing of epoch ${lastEpoch}`)
    return end.epoch === lastEpoch && end.endOffset >= offset ? null : end
  }

  #cut(node: Node, target: Offset): void {
    const { log } = node.replica!
    if (target >= log.logEndOffset) {
      this.#feed(node, { type: 'truncated', endOffset: log.logEndOffset, producers: null })
      return
    }
    node.disk = node.disk.filter(batch => batchLastOffset(batch, 0) < target)
    const producers = new ProducerState(0 as Offset)
    const epochs = new LeaderEpochCache()
    for (const batch of node.disk) replayBatch(producers, epochs, readBatchHeader(batch, 0), WALL_MS)
    this.#feed(node, { type: 'truncated', endOffset: endOf(node.disk), producers })
  }

  // --------------------------------------------------------------------------------------------- metadata

  /** Somebody of the ISR who is up; those who are not leave it, but for the last. */
  #elect(choice: number): void {
    const { epoch, partitionEpoch, revision, isr } = this.#metadata
    const candidates = isr.filter(broker => this.#node(broker).replica !== null)
    const leader = candidates[Math.floor(choice * candidates.length)]
    if (leader === undefined) return
    this.#metadata = {
      leader,
      epoch: (epoch + 1) as LeaderEpoch,
      partitionEpoch: partitionEpoch + 1,
      revision: revision + 3,
      isr: candidates,
    }
  }

  #decide(accepts: boolean): void {
    const proposal = this.#proposals.shift()
    if (proposal === undefined) return
    const { revision, partitionEpoch, isr: known } = this.#metadata
    const joining = proposal.isr.filter(({ broker }) => !known.includes(broker))
    const isCurrent =
      proposal.revision === revision &&
      joining.every(({ broker, brokerEpoch }) => this.#isActive(broker, brokerEpoch))
    if (accepts && isCurrent) {
      const isr = proposal.isr.map(({ broker }) => broker)
      this.#metadata = {
        ...this.#metadata,
        isr,
        partitionEpoch: partitionEpoch + 1,
        revision: revision + 1,
      }
      return
    }
    const { epoch, revision: under } = proposal
    this.#feed(this.#node(proposal.from), { type: 'isr-refused', epoch, revision: under })
  }

  #isActive(broker: BrokerId, brokerEpoch: number): boolean {
    const node = this.#node(broker)
    return node.replica !== null && node.life === brokerEpoch
  }

  // ----------------------------------------------------------------------------------------------- the rest

  /** To everyone who takes himself for the leader. */
  #produce(count: number): void {
    for (const node of this.#nodes) {
      if (node.replica?.role !== 'leader') continue
      const producer = this.#nextProducer++
      const records = encodeBatch(
        Array.from({ length: count }, () => ({ value: null, timestamp: WALL_MS })),
        { producerId: producer as ProducerId, producerEpoch: 0 as ProducerEpoch, baseSequence: 0 },
      )
      this.#feed(node, {
        type: 'produce',
        token: String(producer),
        records,
        acks: -1,
        timeoutMs: Infinity,
        wallMs: WALL_MS,
        active: ACTIVE,
        transactionVerified: false,
      })
    }
  }

  #feed(node: Node, event: ReplicaEvent<string>): void {
    const { replica } = node
    if (replica === null) return
    for (const effect of replica.step(event, this.#nowMs)) {
      if (effect.type === 'append') node.disk.push(Buffer.from(effect.batch.bytes))
      if (effect.type === 'reply' && effect.error === ErrorCode.NONE) {
        this.#acknowledged.set(BigInt(effect.token), effect.baseOffset)
      }
      if (effect.type === 'propose-isr') {
        const { revision, isr } = effect
        this.#proposals.push({ from: node.broker, epoch: replica.leaderEpoch, revision, isr })
      }
    }
  }

  #node(broker: BrokerId): Node {
    return this.#nodes[broker - 1]!
  }

  #check(): void {
    for (const broker of this.#metadata.isr) this.#checkMember(this.#node(broker))
    for (const a of this.#nodes) {
      for (const b of this.#nodes) {
        if (a.replica === null || b.replica === null || a.broker >= b.broker) continue
        const common = Math.min(a.replica.highWatermark, b.replica.highWatermark)
        const [one, other] = [a, b].map(node => batchesBelow(node.disk, common))
        if (one !== other) throw new Error(`logs differ below ${common}: ${one} and ${other}`)
      }
    }
  }

  /** Everything acknowledged is on the disk of whoever is in sync, whether it is up or not. */
  #checkMember(node: Node): void {
    const durable = node.replica?.log.durableOffset ?? this.#lastDurable.get(node.broker)!
    const stored = new Map(
      node.disk
        .filter(batch => batchLastOffset(batch, 0) < durable)
        .map(batch => [batchProducerId(batch, 0) as bigint, batchBaseOffset(batch, 0) as number]),
    )
    for (const [producer, baseOffset] of this.#acknowledged) {
      if (stored.get(producer) === baseOffset) continue
      throw new Error(`broker ${node.broker} is in sync and has not got ${producer} at ${baseOffset}`)
    }
  }
}

const ACTIVE = {
  baseOffset: 0 as Offset,
  sizeBytes: 0,
  largestTimestamp: -1,
  firstTimestamp: -1,
  createdMs: WALL_MS,
  indexFull: false,
}

function endOf(disk: readonly Buffer[]): Offset {
  const last = disk.at(-1)
  return (last === undefined ? 0 : batchLastOffset(last, 0) + 1) as Offset
}

function batchesBelow(disk: readonly Buffer[], offset: number): string {
  return disk
    .filter(batch => batchLastOffset(batch, 0) < offset)
    .map(
      batch =>
        `${batchProducerId(batch, 0)}@${batchBaseOffset(batch, 0)} of epoch ${batchLeaderEpoch(batch, 0)}`,
    )
    .join(', ')
}

/** Batches, epochs and producers. */
function describe({ replica, disk }: Node): string {
  const { epochs, producers } = replica!.log
  const known = epochs.entries.map(({ epoch, startOffset }) => `${epoch}@${startOffset}`)
  // One whose first batch the disk did not take is known as one without batches, on that broker alone.
  const active = Array.from(producers.entries()).filter(({ batches }) => batches.length > 0)
  const producerIds = active.map(({ producerId }) => producerId)
  // An epoch that has written nothing only its leader knows.
  const written = known.filter(entry => Number(entry.split('@')[1]) < endOf(disk))
  return `${batchesBelow(disk, Infinity)}; epochs ${written}; producers ${producerIds.sort()}`
}
