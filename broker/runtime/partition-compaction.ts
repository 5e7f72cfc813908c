/**
 * Compaction of one partition, as the broker's cleaner sees it: what there is to do, doing it, and stopping in the
 * middle when the partition goes away. Nothing here decides when.
 */
import { type Offset } from '../../client/protocol/types.ts'
import { type Clock, type Log } from '../env.ts'
import { lastSequences } from '../log/compaction/last-sequences.ts'
import { type CompactionPlan, isCompacted, planCompaction } from '../log/compaction/plan.ts'
import { type LogState } from '../log/log-state.ts'
import { type CleaningOptions } from '../storage/cleaner/log-cleaner.ts'
import { CleaningGivenUp } from '../storage/cleaner/pace.ts'
import { type PartitionLog } from '../storage/partition-log.ts'
import { CorruptLogError } from '../storage/types.ts'

/** After a failure that may pass, as a full disk, others come first for so long. */
const RETRY_MS = 60_000
/** Where nothing could be done because the last segments are not wholly on disk yet. */
const NOT_READY_MS = 1_000

export interface CompactedPartition {
  readonly name: string
  readonly state: LogState
  readonly lastStableOffset: Offset
  /** False: it is not served any more, or its old segments are just being deleted. */
  readonly mayBeCompacted: boolean
  /** Tombstones with a delete horizon up to this wall time may go; -Infinity: none may now. */
  readonly dueHorizonMs: number
}

export type CleaningResources = Pick<CleaningOptions, 'map' | 'ioBytes' | 'pace'>

export class PartitionCompaction {
  readonly #partition: CompactedPartition
  readonly #storage: PartitionLog
  readonly #clock: Clock
  readonly #log: Log
  #cleanedTo: Offset
  /** Unknown after a start: then tombstones go with the next compaction that has another reason. */
  #nextHorizonMs = Infinity
  /** Of the monotonic clock; Infinity: the log is damaged. */
  #notBeforeMs = -Infinity
  #isStopped = false
  #running: Promise<boolean> | null = null

  constructor(options: {
    readonly partition: CompactedPartition
    readonly storage: PartitionLog
    readonly clock: Clock
    readonly log: Log
    readonly cleanedTo: Offset
  }) {
    this.#partition = options.partition
    this.#storage = options.storage
    this.#clock = options.clock
    this.#log = options.log
    this.#cleanedTo = options.cleanedTo
  }

  /** Everything below was compacted, for the checkpoint; 0 before anything was. */
  get cleanedTo(): Offset {
    return this.#cleanedTo
  }

  get isRunning(): boolean {
    return this.#running !== null
  }

  /** What is to be done now; null: nothing. Touches no disk. */
  plan(): CompactionPlan | null {
    const { state, lastStableOffset, mayBeCompacted } = this.#partition
    if (this.#isStopped || this.#running !== null || !mayBeCompacted || !isCompacted(state.config))
      return null
    if (this.#clock.monotonicMs() < this.#notBeforeMs) return null
    const { logStartOffset, logEndOffset, durableOffset, config } = state
    const bounds = {
      logStartOffset,
      logEndOffset,
      durableOffset,
      lastStableOffset,
      cleanedTo: this.#cleanedTo,
      nextHorizonMs: this.#nextHorizonMs,
      dueHorizonMs: this.#partition.dueHorizonMs,
    }
    const plan = planCompaction(this.#storage.segments, bounds, config, this.#clock.wallMs())
    return plan.reason === null ? null : plan
  }

  /** Carries out a plan of this very moment. True when the log is cleaner now; a failure is logged and is false. */
  run(plan: CompactionPlan, resources: CleaningResources): Promise<boolean> {
    this.#running = this.#run(plan, resources).finally(() => {
      this.#running = null
    })
    return this.#running
  }

  /**
   * What is under way ends at the next opportunity, once the partition may not be compacted; resolves when no files
   * of it are left.
   */
  async giveUp(): Promise<void> {
    await this.#running
  }

  /** The log ends at `endOffset`: what was compacted beyond is gone. */
  wasCut(endOffset: Offset): void {
    if (this.#cleanedTo > endOffset) this.#cleanedTo = endOffset
  }

  /** For good: what is under way ends at the next opportunity, and no files of it are left when this resolves. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await this.#running
  }

  async #run(plan: CompactionPlan, resources: CleaningResources): Promise<boolean> {
    const { name, state, dueHorizonMs } = this.#partition
    const startMs = this.#clock.monotonicMs()
    try {
      const outcome = await this.#storage.clean({
        ...resources,
        plan,
        keepsSequence: lastSequences(state.producers, state.durableOffset),
        deleteRetentionMs: state.config.deleteRetentionMs,
        wallMs: this.#clock.wallMs(),
        dueHorizonMs,
        isWanted: () => this.#isWanted(),
      })
      const { cleanedTo, nextHorizonMs, ...figures } = outcome
      const isNoFurther = cleanedTo === plan.firstDirtyOffset && plan.reason !== 'delete.retention.ms'
      if (isNoFurther) this.#notBeforeMs = this.#clock.monotonicMs() + NOT_READY_MS
      this.#cleanedTo = cleanedTo
      this.#nextHorizonMs = nextHorizonMs
      const tookMs = Math.round(this.#clock.monotonicMs() - startMs)
      const facts = { partition: name, reason: plan.reason, cleanedTo, ...figures, tookMs }
      if (outcome.unreadable > 0) {
        this.#log.warn('compacted a log; batches that cannot be read were kept as they are', facts)
      } else this.#log.info('compacted a log', facts)
      return true
    } catch (error) {
      this.#failed(error)
      return false
    }
  }

  #isWanted(): boolean {
    const { state, mayBeCompacted } = this.#partition
    return !this.#isStopped && mayBeCompacted && isCompacted(state.config)
  }

  #failed(error: unknown): void {
    const { name } = this.#partition
    if (error instanceof CleaningGivenUp || !this.#isWanted()) return
    if (error instanceof CorruptLogError) {
      this.#notBeforeMs = Infinity
      this.#log.error(
        'a log is damaged and is not compacted any more until the next start: it grows. Restore the file, or let ' +
          'retention or DeleteRecords move the log start beyond it',
        { partition: name, error },
      )
      return
    }
    this.#notBeforeMs = this.#clock.monotonicMs() + RETRY_MS
    this.#log.warn('a log could not be compacted and is tried again later', { partition: name, error })
  }
}
