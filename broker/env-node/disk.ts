/**
 * The real disk. Callbacks of node:fs turned into promises by hand: one promise for each call, no stream, no
 * FileHandle.
 */
import fs from 'node:fs'
import {
  type DirectoryEntry,
  type Disk,
  DiskError,
  type DiskErrorCode,
  type DiskFile,
  type OpenMode,
} from '../env.ts'

/** Extending by writing zeros goes in pieces: large enough to be fast, small enough to stay cheap. */
const ZEROS = Buffer.alloc(256 * 1024)
/** Slices in one vectored write; the system's own limit is 1024 on Linux. */
const MAX_VECTORS = 1024
const LOCK_FILE = '.lock'

const FLAGS: Record<OpenMode, number> = {
  read: fs.constants.O_RDONLY,
  write: fs.constants.O_RDWR,
  create: fs.constants.O_RDWR | fs.constants.O_CREAT,
  'create-new': fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_EXCL,
}

const CODES: Readonly<Record<string, DiskErrorCode>> = {
  ENOENT: 'NOT_FOUND',
  ENOTDIR: 'NOT_FOUND',
  EEXIST: 'ALREADY_EXISTS',
  ENOTEMPTY: 'NOT_EMPTY',
  ENOSPC: 'DISK_FULL',
  EDQUOT: 'DISK_FULL',
  EACCES: 'ACCESS_DENIED',
  EPERM: 'ACCESS_DENIED',
  EROFS: 'ACCESS_DENIED',
}

export function createNodeDisk(): Disk {
  return new NodeDisk()
}

class NodeDisk implements Disk {
  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const fd = await call<number>(path, 'cannot open', done => fs.open(path, FLAGS[mode], 0o644, done))
    return new NodeFile(path, fd)
  }

  async list(path: string): Promise<DirectoryEntry[]> {
    const entries = await call<fs.Dirent[]>(path, 'cannot list', done =>
      fs.readdir(path, { withFileTypes: true }, done),
    )
    return entries
      .map(entry => ({ name: entry.name, kind: kindOf(entry) }))
      .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  }

  size(path: string): Promise<number | null> {
    return new Promise((resolve, reject) => {
      fs.stat(path, (error, stats) => {
        if (error === null) resolve(stats.size)
        else if (error.code === 'ENOENT' || error.code === 'ENOTDIR') resolve(null)
        else reject(toDiskError(path, 'cannot look at', error))
      })
    })
  }

  async makeDirectory(path: string): Promise<void> {
    await call<unknown>(path, 'cannot make the folder', done => fs.mkdir(path, { recursive: true }, done))
  }

  async rename(from: string, to: string): Promise<void> {
    await call<void>(from, `cannot rename to ${to}`, done =>
      fs.rename(from, to, error => done(error, undefined)),
    )
  }

  async remove(path: string): Promise<void> {
    await call<void>(path, 'cannot remove', done => fs.unlink(path, error => done(error, undefined)))
  }

  async removeTree(path: string): Promise<void> {
    await call<void>(path, 'cannot remove the folder', done =>
      fs.rm(path, { recursive: true, force: true, maxRetries: 3 }, error => done(error, undefined)),
    )
  }

  async syncDirectory(path: string): Promise<void> {
    const fd = await call<number>(path, 'cannot open the folder', done =>
      fs.open(path, fs.constants.O_RDONLY, done),
    )
    try {
      await call<void>(path, 'cannot sync the folder', done => fs.fsync(fd, error => done(error, undefined)))
    } finally {
      fs.close(fd, () => {})
    }
  }

  readFile(path: string): Promise<Buffer> {
    return call<Buffer>(path, 'cannot read', done => fs.readFile(path, done))
  }

  async space(path: string): Promise<{ totalBytes: number; freeBytes: number }> {
    const stats = await call<fs.StatsFs>(path, 'cannot look at the file system of', done =>
      fs.statfs(path, done),
    )
    return { totalBytes: stats.blocks * stats.bsize, freeBytes: stats.bavail * stats.bsize }
  }

  /**
   * Node has no file locks, so the lock is a file with the holder's process id and start time (a process id alone
   * may have been given to somebody else after a crash or a reboot). An empty file is what Kafka leaves behind.
   */
  async lock(path: string): Promise<() => Promise<void>> {
    const lockPath = `${path}/${LOCK_FILE}`
    const mine = `${process.pid} ${startTimeOf(process.pid) ?? '-'}\n`
    for (let attempt = 0; ; attempt++) {
      try {
        await this.#linkLock(lockPath, mine)
        break
      } catch (error) {
        if (!(error instanceof DiskError && error.code === 'ALREADY_EXISTS')) throw error
        const stale = await this.#staleLock(lockPath)
        if (stale === null || attempt > 2) {
          const holder = (await this.#lockContent(lockPath)).split(' ')[0]
          const who = holder ? `process ${holder}` : 'another process'
          throw new DiskError('LOCKED', path, `locked by ${who}`)
        }
        await this.#removeStaleLock(lockPath, stale)
      }
    }
    return async () => {
      await this.remove(lockPath).catch(ignoreMissing)
    }
  }

  /** A link, because it appears with its content: a lock that is still empty would look like a stale one. */
  async #linkLock(lockPath: string, content: string): Promise<void> {
    const temporary = `${lockPath}.${process.pid}.new`
    const file = await this.open(temporary, 'create')
    await file.write([Buffer.from(content)], 0)
    await file.close()
    try {
      await call<void>(lockPath, 'cannot make', done =>
        fs.link(temporary, lockPath, error => done(error, undefined)),
      )
    } finally {
      await this.remove(temporary)
    }
  }

  async #lockContent(lockPath: string): Promise<string> {
    const content = await this.readFile(lockPath).catch(ignoreMissing)
    return content?.toString('utf8') ?? ''
  }

  /** The content of a lock whose holder is gone; null where the holder lives. */
  async #staleLock(lockPath: string): Promise<string | null> {
    const content = await this.#lockContent(lockPath)
    const match = /^(\d+) (\S+)/.exec(content)
    if (match === null) return content
    const pid = Number(match[1])
    try {
      process.kill(pid, 0)
    } catch (error) {
      // EPERM: it is alive and belongs to somebody else.
      if ((error as NodeJS.ErrnoException).code === 'ESRCH') return content
    }
    if (isZombie(pid)) return content
    const startTime = startTimeOf(pid)
    return startTime === null || match[2] === '-' || startTime === match[2] ? null : content
  }

  /** Two processes may find the same stale lock: what was moved aside is looked at again, and put back if it is new. */
  async #removeStaleLock(lockPath: string, stale: string): Promise<void> {
    const aside = `${lockPath}.${process.pid}`
    try {
      await this.rename(lockPath, aside)
    } catch (error) {
      ignoreMissing(error)
      return
    }
    if ((await this.#lockContent(aside)) === stale) await this.remove(aside)
    else await this.rename(aside, lockPath)
  }
}

class NodeFile implements DiskFile {
  readonly path: string
  readonly #fd: number
  #underWay = 0
  #closed: Promise<void> | null = null
  #idle: (() => void) | null = null

  constructor(path: string, fd: number) {
    this.path = path
    this.#fd = fd
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return this.#operation(() => this.#read(into, position))
  }

  async #read(into: Uint8Array, position: number): Promise<number> {
    let filled = 0
    while (filled < into.length) {
      const read = await call<number>(this.path, 'cannot read', done =>
        fs.read(this.#fd, into, filled, into.length - filled, position + filled, done),
      )
      if (read === 0) break
      filled += read
    }
    return filled
  }

  readSync(into: Uint8Array, position: number): number {
    this.#checkOpen()
    try {
      let filled = 0
      while (filled < into.length) {
        const read = fs.readSync(this.#fd, into, filled, into.length - filled, position + filled)
        if (read === 0) break
        filled += read
      }
      return filled
    } catch (error) {
      throw toDiskError(this.path, 'cannot read', error)
    }
  }

  write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    return this.#operation(() => this.#write(chunks, position))
  }

  async #write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    let rest = chunks
    let at = position
    while (rest.length > 0) {
      const vectors = rest.length > MAX_VECTORS ? rest.slice(0, MAX_VECTORS) : rest
      const written = await call<number>(this.path, 'cannot write', done => {
        if (vectors.length === 1) fs.write(this.#fd, vectors[0]!, 0, vectors[0]!.length, at, done)
        else fs.writev(this.#fd, vectors, at, done)
      })
      rest = without(rest, written)
      at += written
    }
  }

  writeSync(chunks: readonly Uint8Array[], position: number): void {
    this.#checkOpen()
    try {
      let rest = chunks
      let at = position
      while (rest.length > 0) {
        const vectors = rest.length > MAX_VECTORS ? rest.slice(0, MAX_VECTORS) : rest
        const written =
          vectors.length === 1
            ? fs.writeSync(this.#fd, vectors[0]!, 0, vectors[0]!.length, at)
            : fs.writevSync(this.#fd, vectors, at)
        rest = without(rest, written)
        at += written
      }
    } catch (error) {
      throw toDiskError(this.path, 'cannot write', error)
    }
  }

  sync(): Promise<void> {
    return this.#operation(() =>
      call<void>(this.path, 'cannot sync', done => fs.fdatasync(this.#fd, error => done(error, undefined))),
    )
  }

  truncate(size: number): Promise<void> {
    return this.#operation(() =>
      call<void>(this.path, `cannot set the size to ${size} of`, done =>
        fs.ftruncate(this.#fd, size, error => done(error, undefined)),
      ),
    )
  }

  allocate(size: number): Promise<void> {
    return this.#operation(async () => {
      for (let at = await this.#size(); at < size; at += ZEROS.length) {
        await this.#write([at + ZEROS.length > size ? ZEROS.subarray(0, size - at) : ZEROS], at)
      }
    })
  }

  size(): Promise<number> {
    return this.#operation(() => this.#size())
  }

  async #size(): Promise<number> {
    const stats = await call<fs.Stats>(this.path, 'cannot look at', done => fs.fstat(this.#fd, done))
    return stats.size
  }

  close(): Promise<void> {
    this.#closed ??= this.#closeWhenIdle()
    return this.#closed
  }

  async #closeWhenIdle(): Promise<void> {
    if (this.#underWay > 0) {
      await new Promise<void>(resolve => {
        this.#idle = resolve
      })
    }
    await call<void>(this.path, 'cannot close', done =>
      fs.close(this.#fd, error => done(error ?? null, undefined)),
    )
  }

  /** Counts the whole operation, with all its steps, so that `close` does not come between two of them. */
  async #operation<T>(run: () => Promise<T>): Promise<T> {
    this.#checkOpen()
    this.#underWay++
    try {
      return await run()
    } finally {
      this.#underWay--
      if (this.#underWay === 0) this.#idle?.()
    }
  }

  #checkOpen(): void {
    // The descriptor's number may belong to another file by now.
    if (this.#closed !== null)
      throw new DiskError('IO_ERROR', this.path, 'the file is used after it was closed')
  }
}

type NodeCallback<T> = (error: NodeJS.ErrnoException | null, value: T) => void

function call<T>(path: string, what: string, run: (done: NodeCallback<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    run((error, value) => {
      if (error === null || error === undefined) resolve(value)
      else reject(toDiskError(path, what, error))
    })
  })
}

function toDiskError(path: string, what: string, error: unknown): DiskError {
  if (error instanceof DiskError) return error
  const code = (error as NodeJS.ErrnoException).code ?? ''
  const reason = error instanceof Error ? error.message : String(error)
  return new DiskError(CODES[code] ?? 'IO_ERROR', path, `${what} the file: ${reason}`, error)
}

/** The chunks that remain when the first `written` bytes are gone: a short write is rare and may be slow. */
function without(chunks: readonly Uint8Array[], written: number): readonly Uint8Array[] {
  let left = written
  let first = 0
  while (first < chunks.length && left >= chunks[first]!.length) left -= chunks[first++]!.length
  if (first === chunks.length) return []
  const rest = chunks.slice(first)
  if (left > 0) rest[0] = rest[0]!.subarray(left)
  return rest
}

function kindOf(entry: fs.Dirent): DirectoryEntry['kind'] {
  if (entry.isFile()) return 'file'
  return entry.isDirectory() ? 'directory' : 'other'
}

/** When the process was started, in the system's own unit; null where the system does not tell. */
function startTimeOf(pid: number): string | null {
  return statOf(pid)?.[19] ?? null
}

/**
 * A process that was killed stays until its parent has looked at it, which in a container may never happen. While it
 * has other threads it is not over: one of them may still be writing.
 */
function isZombie(pid: number): boolean {
  const stat = statOf(pid)
  return stat !== null && /^[ZX]$/.test(stat[0] ?? '') && Number(stat[17]) <= 1
}

/** The fields of /proc/PID/stat from the third, the state, on; null where there is none. */
function statOf(pid: number): string[] | null {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field, the command, is in parentheses and may hold anything.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  } catch {
    return null
  }
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof DiskError && error.code === 'NOT_FOUND') return undefined
  throw error
}
