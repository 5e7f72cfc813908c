/**
 * Compacts the logs of this broker, one at a time, the dirtiest first, for as long as there is one that is worth it;
 * then it waits a while before it looks again.
 */
import { type Env, type TimerHandle } from '../env.ts'
import { SIPHASH_KEY_BYTES } from '../log/compaction/siphash.ts'
import { CleanerPace } from './cleaner-pace.ts'
import { type PartitionCompaction } from './partition-compaction.ts'
import { type PartitionHost } from './partition-host.ts'

export interface CleanerConfig {
  /** log.cleaner.enable */
  readonly enabled: boolean
  /** log.cleaner.backoff.ms */
  readonly backoffMs: number
  /** log.cleaner.dedupe.buffer.size */
  readonly dedupeBytes: number
  /** log.cleaner.io.buffer.load.factor */
  readonly loadFactor: number
  /** log.cleaner.io.buffer.size */
  readonly ioBytes: number
  /** log.cleaner.io.max.bytes.per.second */
  readonly maxBytesPerSecond: number
}

export const DEFAULT_CLEANER_CONFIG: CleanerConfig = {
  enabled: true,
  backoffMs: 15_000,
  dedupeBytes: 32 * 1024 * 1024,
  loadFactor: 0.9,
  ioBytes: 512 * 1024,
  maxBytesPerSecond: Number.MAX_VALUE,
}

export interface LogCleanerOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'random' | 'log'>
  /** As of now. */
  readonly config: () => CleanerConfig
  readonly partitions: () => Iterable<PartitionHost>
  /** Counts up whenever somebody produces. */
  readonly writes: () => number
  /** Makes durable how far each log was compacted. */
  readonly saveOffsets: () => Promise<void>
  /** Resolves when the leader epochs of that partition are on disk: its batches may be the last that tell of them. */
  readonly saveEpochs: (partition: PartitionHost) => Promise<void>
}

const SHORTEST_BACKOFF_MS = 10

export class LogCleaner {
  readonly #options: LogCleanerOptions
  readonly #pace: CleanerPace
  #timer: TimerHandle | null = null
  #round: Promise<void> = Promise.resolve()
  #isStopped = false

  constructor(options: LogCleanerOptions) {
    this.#options = options
    const { clock, timers } = options.env
    const bytesPerSecond = (): number => options.config().maxBytesPerSecond
    this.#pace = new CleanerPace({ clock, timers, bytesPerSecond, writes: options.writes })
  }

  start(): void {
    const { timers } = this.#options.env
    const { backoffMs } = this.#options.config()
    this.#timer = timers.set(Math.max(SHORTEST_BACKOFF_MS, Math.min(backoffMs, 2 ** 31 - 1)), () => {
      this.#timer = null
      this.#round = this.cleanAll().then(() => {
        if (!this.#isStopped) this.start()
      })
    })
  }

  /** Gives up what is under way; resolves when nothing is any more. */
  async stop(): Promise<void> {
    this.#isStopped = true
    if (this.#timer !== null) this.#options.env.timers.clear(this.#timer)
    this.#timer = null
    const stopping = Array.from(this.#options.partitions(), ({ compaction }) => compaction.stop())
    await Promise.all([...stopping, this.#round])
  }

  /** Compacts whatever is worth it now. Never rejects. */
  async cleanAll(): Promise<void> {
    try {
      while (!this.#isStopped && this.#options.config().enabled && (await this.#cleanDirtiest()));
    } catch (error) {
      this.#options.env.log.warn('compaction failed and will be tried again', { error })
    }
  }

  /** False: there is nothing to do. */
  async #cleanDirtiest(): Promise<boolean> {
    const { env, partitions, config, saveOffsets, saveEpochs } = this.#options
    let best: { partition: PartitionHost; compaction: PartitionCompaction; dirtyRatio: number } | null = null
    for (const partition of partitions()) {
      const { compaction } = partition
      const dirtyRatio = compaction.plan()?.dirtyRatio ?? -1
      if (dirtyRatio > (best?.dirtyRatio ?? -1)) best = { partition, compaction, dirtyRatio }
    }
    if (best === null) return false
    await saveEpochs(best.partition)
    const plan = best.compaction.plan()
    if (plan === null) return false
    const { dedupeBytes, loadFactor, ioBytes } = config()
    const before = best.compaction.cleanedTo
    const isClean = await best.compaction.run(plan, {
      map: { maxBytes: dedupeBytes, loadFactor, hashKey: env.random.bytes(SIPHASH_KEY_BYTES) },
      ioBytes,
      pace: this.#pace,
    })
    if (best.compaction.cleanedTo !== before) await saveOffsets()
    return isClean
  }
}
