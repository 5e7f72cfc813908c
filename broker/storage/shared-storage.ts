/**
 * What all partitions of one broker share: the disk, the tail cache, the bound on open files, read buffers, and the
 * knowledge whether the disk is fast enough at the moment to be written to on the event loop.
 */
import { type Clock, type Disk, type Log } from '../env.ts'
import { FileCache } from './file-cache.ts'
import { IndexCache } from './index-cache.ts'
import { ReadBuffers } from './read-buffers.ts'
import { TailCache } from './tail-cache.ts'
import { WritePolicy } from './write-policy.ts'

/** Indexes of some eight full segments. */
const INDEX_CACHE_BYTES = 16 * 1024 * 1024

export interface SharedStorageOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly log: Log
  /** Default 32 MiB. */
  readonly tailCacheBytes?: number
  /** Segment files open at a time; more are opened only while all are in use. Default 512. */
  readonly maxOpenFiles?: number
  /** Memory for reads from disk that are on their way to clients, read-ahead included. Default 64 MiB. */
  readonly readBufferBytes?: number
}

export class SharedStorage {
  readonly disk: Disk
  readonly clock: Clock
  readonly log: Log
  readonly tailCache: TailCache
  readonly files: FileCache
  readonly indexes: IndexCache
  readonly readBuffers: ReadBuffers
  readonly writePolicy: WritePolicy

  constructor(options: SharedStorageOptions) {
    this.disk = options.disk
    this.clock = options.clock
    this.log = options.log
    this.tailCache = new TailCache({ maxBytes: options.tailCacheBytes ?? 32 * 1024 * 1024 })
    this.files = new FileCache(options.disk, options.maxOpenFiles ?? 512)
    this.indexes = new IndexCache(INDEX_CACHE_BYTES)
    this.readBuffers = new ReadBuffers(options.readBufferBytes ?? 64 * 1024 * 1024)
    this.writePolicy = new WritePolicy(options.clock)
  }

  /** Closes the idle files that are kept open. Partitions are closed before. */
  async close(): Promise<void> {
    await this.files.closeAll()
  }
}
