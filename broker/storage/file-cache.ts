/**
 * The open files of all partitions, few at a time. A file is opened when it is needed, stays open for the next who
 * needs it, and is closed when others were needed more recently; one that is pinned (in use, or written and not yet
 * synced) stays.
 */
import { assert } from '../../client/protocol/assert.ts'
import { type Disk, type DiskFile, type OpenMode } from '../env.ts'

interface CachedFile {
  readonly path: string
  readonly opening: Promise<DiskFile>
  /** Null while it is being opened. */
  file: DiskFile | null
  pins: number
  /** Closes with its last pin; the path may belong to another file by now. */
  isForgotten: boolean
}

export class FileCache {
  readonly #disk: Disk
  readonly #maxOpen: number
  /** In order of use, the least recent first. */
  readonly #files = new Map<string, CachedFile>()
  readonly #closing = new Set<Promise<void>>()

  constructor(disk: Disk, maxOpen: number) {
    this.#disk = disk
    this.#maxOpen = maxOpen
  }

  get openFiles(): number {
    return this.#files.size
  }

  /**
   * The file, where it is open already: for use within the current synchronous call, or until `unpin` after
   * `pinOpened`.
   */
  opened(path: string): DiskFile | null {
    return this.#files.get(path)?.file ?? null
  }

  /** Opens the file where it is not open, and keeps it open until `unpin`. */
  async pin(path: string, mode: OpenMode = 'write'): Promise<DiskFile> {
    const existing = this.#files.get(path)
    const entry = existing ?? this.#open(path, mode)
    entry.pins++
    // To the end of the order of use.
    this.#files.delete(path)
    this.#files.set(path, entry)
    try {
      return await entry.opening
    } catch (error) {
      entry.pins--
      if (this.#files.get(path) === entry) this.#files.delete(path)
      throw error
    }
  }

  /** Keeps a file open that is open. */
  pinOpened(path: string): void {
    const entry = this.#files.get(path)
    assert(entry?.file, 'only a file that is open is pinned at once')
    entry.pins++
  }

  unpin(path: string, file: DiskFile): void {
    let entry = this.#files.get(path)
    if (entry?.file !== file) entry = this.#forgotten.get(file)
    assert(entry !== undefined && entry.pins > 0, 'a file is unpinned once for each time it was pinned')
    entry.pins--
    if (entry.pins > 0) return
    if (entry.isForgotten) {
      this.#forgotten.delete(file)
      this.#close(file)
    } else if (this.#files.size > this.#maxOpen) {
      this.#closeIdle()
    }
  }

  /** Runs `use` with the file kept open. */
  async with<T>(path: string, use: (file: DiskFile) => Promise<T>): Promise<T> {
    const file = await this.pin(path)
    try {
      return await use(file)
    } finally {
      this.unpin(path, file)
    }
  }

  /**
   * The path is about to name another file or none: closes it, as soon as nobody uses it. Returns whether nobody
   * does.
   */
  forget(path: string): boolean {
    const entry = this.#files.get(path)
    if (entry === undefined) return true
    this.#files.delete(path)
    entry.isForgotten = true
    if (entry.file !== null && entry.pins === 0) this.#close(entry.file)
    else if (entry.file !== null) this.#forgotten.set(entry.file, entry)
    return entry.file !== null && entry.pins === 0
  }

  /** Waits for files that are being closed. */
  async settle(): Promise<void> {
    while (this.#closing.size > 0) await Promise.all(this.#closing)
  }

  async closeAll(): Promise<void> {
    for (const path of [...this.#files.keys()]) this.forget(path)
    await this.settle()
  }

  readonly #forgotten = new Map<DiskFile, CachedFile>()

  #open(path: string, mode: OpenMode): CachedFile {
    if (this.#files.size >= this.#maxOpen) this.#closeIdle()
    const entry: CachedFile = {
      path,
      opening: this.#disk.open(path, mode).then(file => {
        entry.file = file
        if (entry.isForgotten) {
          if (entry.pins === 0) this.#close(file)
          else this.#forgotten.set(file, entry)
        }
        return file
      }),
      file: null,
      pins: 0,
      isForgotten: false,
    }
    return entry
  }

  #closeIdle(): void {
    for (const [path, entry] of this.#files) {
      if (this.#files.size < this.#maxOpen) return
      if (entry.pins === 0 && entry.file !== null) {
        this.#files.delete(path)
        this.#close(entry.file)
      }
    }
  }

  #close(file: DiskFile): void {
    // What was written is synced before a file may be closed, so there is nothing left to lose here.
    const closing = file
      .close()
      .catch(() => {})
      .finally(() => this.#closing.delete(closing))
    this.#closing.add(closing)
  }
}
