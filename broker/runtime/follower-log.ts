/**
 * The part of a follower in a partition's log: appends what its leader sent, and cuts off what its leader does not
 * have. Nothing of a former epoch is appended or cut, and what has been appended counts only when it is on disk.
 *
 * A cut takes the log for itself: what is under way is finished first, and requests find no follower meanwhile. Before
 * any record goes, the recovery point is lowered durably: left behind ahead of the log it would hide, after a crash,
 * what is written there next.
 */
import { batchBaseOffset, batchLastOffset, validateBatch } from '../../client/protocol/batch.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type LeaderEpoch, type Offset } from '../../client/protocol/types.ts'
import { LeaderEpochCache } from '../log/leader-epochs.ts'
import { type LogState } from '../log/log-state.ts'
import { splitBatches, truncationOffset } from '../replica/replicated-batches.ts'
import { type Retained } from '../slab.ts'
import { type CutEvent, type HostServices } from './host-services.ts'
import {
  type ReplicaPosition,
  type ReplicatedFrom,
  type ReplicateOutcome,
  type TruncateOutcome,
} from './partition-types.ts'
import { ProducerReplay } from './replay-producers.ts'
import { type ReplicaDriver } from './replica-driver.ts'

/** Appended, and not answered yet. */
interface Appended {
  readonly endOffset: Offset
  readonly epoch: LeaderEpoch
  readonly resolve: (outcome: ReplicateOutcome) => void
}

export class FollowerLog {
  readonly #name: string
  readonly #driver: ReplicaDriver
  readonly #services: HostServices
  /** Oldest first. */
  #appended: Appended[] = []

  constructor(name: string, driver: ReplicaDriver, services: HostServices) {
    this.#name = name
    this.#driver = driver
    this.#services = services
  }

  get #log(): LogState {
    return this.#driver.replica.log
  }

  position(): ReplicaPosition | null {
    const { replica, exchange, unavailable } = this.#driver
    if (unavailable !== null || exchange !== null || replica.role !== 'follower') return null
    const { logEndOffset, logStartOffset, epochs } = replica.log
    if (replica.ownOffset < logEndOffset) return null
    const { latestEpoch: lastFetchedEpoch } = epochs
    return { fetchOffset: logEndOffset, lastFetchedEpoch, logStartOffset, leaderEpoch: replica.leaderEpoch }
  }

  // ------------------------------------------------------------------------------------------- appending

  async replicate(
    records: Uint8Array,
    owner: Retained | null,
    from: ReplicatedFrom,
  ): Promise<ReplicateOutcome> {
    if (this.#driver.exchange === null) return this.#replicate(records, owner, from)
    owner?.retain()
    try {
      while (this.#driver.exchange !== null) await this.#driver.exchange
      return await this.#replicate(records, owner, from)
    } finally {
      owner?.release()
    }
  }

  async #replicate(
    records: Uint8Array,
    owner: Retained | null,
    from: ReplicatedFrom,
  ): Promise<ReplicateOutcome> {
    const refusal = this.#refusal(from.epoch)
    if (refusal !== null) return refusal
    const log = this.#log
    if (from.fetchOffset !== log.logEndOffset) return 'ok'
    if (beginsWithin(records, log, from)) return this.#beginEarlier(records, owner, from)
    const batches = splitBatches(records, log, from.epoch)
    if (typeof batches === 'string') {
      this.#services.log.error(
        'what the leader sent cannot follow this log, and nothing of it was appended',
        {
          partition: this.#name,
          reason: batches,
          logEndOffset: log.logEndOffset,
        },
      )
      return 'corrupt'
    }
    const last = batches.at(-1)
    this.#driver.appendReplicated(batches, owner, from)
    if (last === undefined) return 'ok'
    return new Promise(resolve => {
      const endOffset = (batchLastOffset(last, 0) + 1) as Offset
      this.#appended.push({ endOffset, epoch: from.epoch, resolve })
      this.settle()
    })
  }

  /** Begins with the whole of that batch; its records below the leader's log start are not offered here either. */
  async #beginEarlier(
    records: Uint8Array,
    owner: Retained | null,
    from: ReplicatedFrom,
  ): Promise<ReplicateOutcome> {
    const fetchOffset = batchBaseOffset(records, 0)
    owner?.retain()
    try {
      const outcome = await this.startOver(fetchOffset, from.epoch)
      return outcome === 'ok' ? await this.replicate(records, owner, { ...from, fetchOffset }) : outcome
    } finally {
      owner?.release()
    }
  }

  /** Answers those whose records count by now, and those whose never will. After every step. */
  settle(): void {
    if (this.#appended.length === 0) return
    const { replica } = this.#driver
    const waiting: Appended[] = []
    for (const appended of this.#appended) {
      const { endOffset, epoch, resolve } = appended
      const refusal = this.#refusal(epoch)
      if (refusal !== null) resolve(refusal)
      else if (endOffset > replica.log.logEndOffset) resolve('failed')
      else if (endOffset <= replica.ownOffset) resolve('ok')
      else waiting.push(appended)
    }
    this.#appended = waiting
  }

  #refusal(epoch: LeaderEpoch): 'fenced' | 'failed' | null {
    const { replica, unavailable, isReassigned } = this.#driver
    if (unavailable === ErrorCode.KAFKA_STORAGE_ERROR) return 'failed'
    if (unavailable !== null || isReassigned) return 'fenced'
    return replica.role === 'follower' && replica.leaderEpoch === epoch ? null : 'fenced'
  }

  // --------------------------------------------------------------------------------------------- cutting

  diverged(epoch: number, endOffset: number, leaderEpoch: LeaderEpoch): Promise<TruncateOutcome> {
    return this.#alone(leaderEpoch, () => this.#cutTo(truncationOffset(this.#log, epoch, endOffset)))
  }

  startOver(atOffset: Offset, leaderEpoch: LeaderEpoch): Promise<TruncateOutcome> {
    return this.#alone(leaderEpoch, () =>
      this.#cut(atOffset, async () => {
        const { storage } = this.#driver
        await storage.truncateFullyAndStartAt(atOffset)
        return { type: 'started-over', offset: atOffset }
      }),
    )
  }

  async #alone(leaderEpoch: LeaderEpoch, work: () => Promise<TruncateOutcome>): Promise<TruncateOutcome> {
    while (this.#driver.exchange !== null) await this.#driver.exchange
    const refusal = this.#refusal(leaderEpoch)
    if (refusal !== null) return refusal
    return this.#driver.exchangeFiles(async () => {
      await this.#driver.settleFiles()
      const outcome = this.#refusal(leaderEpoch) ?? (await work())
      return this.#refusal(leaderEpoch) ?? outcome
    })
  }

  async #cutTo(target: Offset): Promise<TruncateOutcome> {
    const { logEndOffset } = this.#log
    if (target >= logEndOffset) {
      // An epoch that began at the end and wrote nothing.
      this.#driver.step({ type: 'truncated', endOffset: logEndOffset, producers: null })
      return this.#savePoints()
    }
    return this.#cut(target, async () => {
      const { storage } = this.#driver
      const endOffset = await storage.truncateTo(target)
      const { clock, producerIdExpirationMs } = this.#services
      const replay = new ProducerReplay(new LeaderEpochCache(), clock.wallMs(), producerIdExpirationMs)
      await storage.replay(replay)
      return { type: 'truncated', endOffset, producers: replay.producers }
    })
  }

  async #cut(target: Offset, cutFiles: () => Promise<CutEvent>): Promise<TruncateOutcome> {
    const before = this.#log.logEndOffset
    this.#driver.recoveryLimit = target
    if ((await this.#savePoints()) === 'failed') {
      this.#driver.recoveryLimit = Infinity
      return 'failed'
    }
    if (this.#driver.unavailable !== null) return 'fenced'
    try {
      await this.#driver.cut(cutFiles)
    } catch {
      return 'failed'
    }
    this.#driver.recoveryLimit = Infinity
    this.#services.log.info('cut the log to follow its leader', {
      partition: this.#name,
      logEndOffset: this.#log.logEndOffset,
      before,
    })
    return this.#savePoints()
  }

  /** Leader epochs, then recovery points. */
  async #savePoints(): Promise<TruncateOutcome> {
    try {
      await this.#services.saveRecoveryPoints()
      return 'ok'
    } catch (error) {
      this.#services.log.warn('the checkpoints of a log that is cut could not be written', {
        partition: this.#name,
        error,
      })
      return 'failed'
    }
  }
}

/**
 * The leader's log starts in the middle of a batch, where DeleteRecords has put it, and it sends all of that batch. This
 * log ends inside of the batch and has nothing that the leader still offers: where it has, such a batch is an error.
 */
function beginsWithin(records: Uint8Array, log: LogState, { logStartOffset }: ReplicatedFrom): boolean {
  const { logEndOffset } = log
  const hasNothing = log.logStartOffset === logEndOffset || logEndOffset <= logStartOffset
  if (!hasNothing || records.length === 0) return false
  if (validateBatch(records, 0, records.length, 'log') !== null) return false
  return batchBaseOffset(records, 0) < logEndOffset && batchLastOffset(records, 0) >= logEndOffset
}
