/**
 * A disk in memory: fast enough to be the storage of somebody's test broker, and, with `trackCrashes`, honest
 * enough to lose what a real one may lose. Then every file has a durable image beside what is visible, every folder
 * a durable list of names beside the visible one, and `crash` falls back to the durable state plus whatever part of
 * the rest it likes.
 */
import { assert } from '../../client/protocol/assert.ts'
import { type DirectoryEntry, type Disk, DiskError, type DiskFile, type OpenMode } from '../env.ts'
import { MemoryBytes } from './memory-bytes.ts'
import {
  type CrashOptions,
  crashFile,
  type DiskFault,
  type DiskOperation,
  type FileNode,
  faultError,
  MemoryFile,
} from './memory-file.ts'

export interface MemoryDiskOptions {
  /** Keep what a crash needs; costs a copy of every byte that is not synced. Default false. */
  readonly trackCrashes?: boolean
  /** Writing beyond it fails with DISK_FULL. Default: no bound. */
  readonly capacityBytes?: number
  /**
   * Asynchronous operations take as long as the promise that it returns, null for no time at all. They take place at
   * its end, but for syncs: those cover what was there when they began.
   */
  readonly delay?: (operation: DiskOperation, path: string) => Promise<void> | null
}

interface FolderNode {
  readonly kind: 'directory'
  names: Map<string, Node>
  durable: Map<string, Node> | null
  changes: NameChange[]
}

type Node = FileNode | FolderNode

/** One atomic step in a folder: names that vanish and names that appear. */
interface NameChange {
  readonly removed: readonly string[]
  readonly added: readonly (readonly [string, Node])[]
}

/** What all views of one disk share. */
interface DiskState {
  readonly trackCrashes: boolean
  readonly root: FolderNode
  readonly faults: Set<{ fault: DiskFault; seen: number; struck: number }>
  readonly holds: Set<{ operation: DiskOperation; path: RegExp; released: Promise<void> }>
  readonly locks: Set<string>
  /** Raised by a crash: handles and views from before it are dead. */
  life: number
  usedBytes: number
  capacityBytes: number
}

export class MemoryDisk implements Disk {
  readonly #state: DiskState
  #delay: MemoryDiskOptions['delay']
  /** The life that this view belongs to; null for the disk itself, which outlives all crashes. */
  #ownLife: number | null = null

  constructor(options: MemoryDiskOptions = {}, shared?: DiskState) {
    const trackCrashes = options.trackCrashes ?? false
    this.#delay = options.delay
    this.#state = shared ?? {
      trackCrashes,
      root: newFolder(trackCrashes),
      faults: new Set(),
      holds: new Set(),
      locks: new Set(),
      life: 0,
      usedBytes: 0,
      capacityBytes: options.capacityBytes ?? Number.POSITIVE_INFINITY,
    }
  }

  /**
   * The same disk as one process sees it: from the next crash on, nothing that still runs in that process changes a
   * thing. It can be looked at, though. `delay`: by default that of the disk.
   */
  view(delay: MemoryDiskOptions['delay'] = this.#delay): MemoryDisk {
    const view = new MemoryDisk(delay === undefined ? {} : { delay }, this.#state)
    view.#ownLife = this.#state.life
    return view
  }

  // ------------------------------------------------------------------------------------- for tests

  get usedBytes(): number {
    return this.#state.usedBytes
  }

  get capacityBytes(): number {
    return this.#state.capacityBytes
  }

  set capacityBytes(bytes: number) {
    this.#state.capacityBytes = bytes
  }

  /** Makes operations fail until the returned function is called. */
  inject(fault: DiskFault): () => void {
    const entry = { fault, seen: 0, struck: 0 }
    this.#state.faults.add(entry)
    return () => void this.#state.faults.delete(entry)
  }

  /** Asynchronous operations that match wait until the returned function is called; synchronous ones do not. */
  hold(operation: DiskOperation, path = /(?:)/): () => void {
    let release = (): void => {}
    const released = new Promise<void>(resolve => {
      release = resolve
    })
    const entry = { operation, path, released }
    this.#state.holds.add(entry)
    return () => {
      this.#state.holds.delete(entry)
      release()
    }
  }

  /** Power is cut: handles die, locks are free, unsynced bytes and names survive as `options` say. */
  crash(options: CrashOptions): void {
    assert(this.#state.trackCrashes, 'crash wants a MemoryDisk made with trackCrashes')
    assert(
      options.keep !== 'random' || options.random !== undefined,
      'a random crash wants its source of chance',
    )
    this.#state.life++
    this.#state.locks.clear()
    this.#crashFolder(this.#state.root, options)
    this.#state.usedBytes = sizeOf(this.#state.root)
  }

  /**
   * The process ends and the machine goes on: handles die and locks are free, but nothing that was written is lost, and
   * nothing of it is any more durable than it was.
   */
  endLife(): void {
    this.#state.life++
    this.#state.locks.clear()
  }

  /** Flips bits of a file, in the visible and in the durable image: bit rot. */
  damage(path: string, position: number, mask = 0xff): void {
    const node = this.#file(path)
    for (const image of [node.bytes, node.durable]) {
      if (image === null || position >= image.size) continue
      const one = Buffer.alloc(1)
      image.read(one, position)
      one[0]! ^= mask
      image.write(one, position)
    }
  }

  // ------------------------------------------------------------------------------------- names

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    await this.#enter('open', path)
    const [folder, name] = this.#parent(path)
    const existing = folder.names.get(name)
    if (existing?.kind === 'directory') throw new DiskError('IO_ERROR', path, 'it is a folder, not a file')
    if (existing !== undefined) {
      if (mode === 'create-new') throw new DiskError('ALREADY_EXISTS', path, 'the file exists already')
      return this.#handle(path, existing, mode === 'read')
    }
    if (mode === 'read' || mode === 'write') throw notFound(path)
    const node: FileNode = {
      kind: 'file',
      bytes: new MemoryBytes(),
      durable: this.#state.trackCrashes ? new MemoryBytes() : null,
      changes: [],
    }
    this.#change(folder, { removed: [], added: [[name, node]] })
    return this.#handle(path, node, false)
  }

  async list(path: string): Promise<DirectoryEntry[]> {
    await this.#enter('list', path)
    const entries = Array.from(this.#folderAt(path).names, ([name, node]) => ({ name, kind: node.kind }))
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async size(path: string): Promise<number | null> {
    const node = this.#lookup(path)
    return node?.kind === 'file' ? node.bytes.size : null
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#enter('makeDirectory', path)
    let folder = this.#state.root
    for (const name of parts(path)) {
      let next = folder.names.get(name)
      if (next === undefined) {
        next = newFolder(this.#state.trackCrashes)
        this.#change(folder, { removed: [], added: [[name, next]] })
      }
      if (next.kind === 'file')
        throw new DiskError('ALREADY_EXISTS', path, 'a file is in the way of the folder')
      folder = next
    }
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#enter('rename', from)
    const [fromFolder, fromName] = this.#parent(from)
    const [toFolder, toName] = this.#parent(to)
    const node = fromFolder.names.get(fromName)
    if (node === undefined) throw notFound(from)
    const target = toFolder.names.get(toName)
    if (target === node) return
    if (target?.kind === 'directory') throw new DiskError('NOT_EMPTY', to, 'a folder is in the way')
    if (target !== undefined) this.#state.usedBytes -= target.bytes.size
    if (fromFolder === toFolder) {
      this.#change(fromFolder, { removed: [fromName], added: [[toName, node]] })
    } else {
      this.#change(toFolder, { removed: [], added: [[toName, node]] })
      this.#change(fromFolder, { removed: [fromName], added: [] })
    }
  }

  async remove(path: string): Promise<void> {
    await this.#enter('remove', path)
    const [folder, name] = this.#parent(path)
    const node = folder.names.get(name)
    if (node === undefined) throw notFound(path)
    if (node.kind === 'directory') throw new DiskError('ACCESS_DENIED', path, 'it is a folder')
    this.#state.usedBytes -= node.bytes.size
    this.#change(folder, { removed: [name], added: [] })
  }

  async removeTree(path: string): Promise<void> {
    await this.#enter('remove', path)
    const node = this.#lookup(path)
    if (node === undefined) return
    const [folder, name] = this.#parent(path)
    this.#state.usedBytes -= sizeOf(node)
    this.#change(folder, { removed: [name], added: [] })
  }

  async syncDirectory(path: string): Promise<void> {
    const before = this.#lookup(path)
    const covered = before?.kind === 'directory' ? before.changes.at(-1) : undefined
    await this.#enter('syncDirectory', path)
    const folder = this.#folderAt(path)
    if (folder.durable === null || covered === undefined) return
    const last = folder.changes.indexOf(covered)
    for (const change of folder.changes.splice(0, last + 1)) applyNames(folder.durable, change)
  }

  async readFile(path: string): Promise<Buffer> {
    await this.#enter('read', path)
    const node = this.#file(path)
    const content = Buffer.alloc(node.bytes.size)
    node.bytes.read(content, 0)
    return content
  }

  async space(_path: string): Promise<{ totalBytes: number; freeBytes: number }> {
    const totalBytes = Math.min(this.#state.capacityBytes, 2 ** 40)
    return { totalBytes, freeBytes: Math.max(0, totalBytes - this.#state.usedBytes) }
  }

  async lock(path: string): Promise<() => Promise<void>> {
    if (this.#state.locks.has(path)) throw new DiskError('LOCKED', path, 'locked by this process')
    this.#state.locks.add(path)
    const { life } = this.#state
    return async () => {
      // After a crash the lock may be somebody else's.
      if (life === this.#state.life) this.#state.locks.delete(path)
    }
  }

  // ------------------------------------------------------------------------------------- inside

  #handle(path: string, node: FileNode, readOnly: boolean): DiskFile {
    const life = this.#state.life
    return new MemoryFile(path, node, readOnly, {
      enter: operation => this.#enter(operation, path),
      strike: (operation): DiskFault | null => this.#strike(operation, path),
      isAlive: () => this.#state.life === life,
      grow: bytes => {
        // Whatever does not fit is not written; the caller is told how much did.
        const granted = Math.min(bytes, Math.max(0, this.#state.capacityBytes - this.#state.usedBytes))
        this.#state.usedBytes += granted
        return granted
      },
    })
  }

  async #enter(operation: DiskOperation, path: string): Promise<void> {
    for (const hold of this.#state.holds) {
      if (hold.operation === operation && hold.path.test(path)) await hold.released
    }
    const delay = this.#delay?.(operation, path) ?? null
    if (delay !== null) await delay
    const isDead = this.#ownLife !== null && this.#ownLife !== this.#state.life
    if (isDead && operation !== 'list' && operation !== 'read') {
      throw new DiskError('IO_ERROR', path, 'the power was cut in the life of who asks')
    }
    // A write decides itself, because part of it may succeed.
    if (operation === 'write') return
    const fault = this.#strike(operation, path)
    if (fault !== null) throw faultError(fault, path)
  }

  #strike(operation: DiskOperation, path: string): DiskFault | null {
    for (const entry of this.#state.faults) {
      const { fault } = entry
      if (fault.operation !== operation || fault.path?.test(path) === false) continue
      if (entry.seen++ < (fault.after ?? 0)) continue
      if (++entry.struck >= (fault.times ?? Infinity)) this.#state.faults.delete(entry)
      return fault
    }
    return null
  }

  #change(folder: FolderNode, change: NameChange): void {
    applyNames(folder.names, change)
    if (folder.durable !== null) folder.changes.push(change)
  }

  #lookup(path: string): Node | undefined {
    let node: Node | undefined = this.#state.root
    for (const name of parts(path)) {
      if (node?.kind !== 'directory') return undefined
      node = node.names.get(name)
    }
    return node
  }

  #folderAt(path: string): FolderNode {
    const node = this.#lookup(path)
    if (node?.kind !== 'directory') throw notFound(path)
    return node
  }

  #file(path: string): FileNode {
    const node = this.#lookup(path)
    if (node?.kind !== 'file') throw notFound(path)
    return node
  }

  #parent(path: string): [FolderNode, string] {
    const slash = path.lastIndexOf('/')
    return [this.#folderAt(path.slice(0, slash)), path.slice(slash + 1)]
  }

  #crashFolder(folder: FolderNode, options: CrashOptions): void {
    const { keep, random } = options
    assert(folder.durable !== null, 'a tracked folder has a durable image')
    // A journal keeps the order of names: what survives of a folder's changes is a prefix.
    const kept = keep === 'all' ? Infinity : keep === 'none' ? 0 : random!.int(folder.changes.length + 1)
    for (const change of folder.changes.slice(0, kept)) applyNames(folder.durable, change)
    folder.changes = []
    folder.names = new Map(folder.durable)
    for (const node of folder.names.values()) {
      if (node.kind === 'directory') this.#crashFolder(node, options)
      else crashFile(node, options)
    }
  }
}

function newFolder(trackCrashes: boolean): FolderNode {
  return { kind: 'directory', names: new Map(), durable: trackCrashes ? new Map() : null, changes: [] }
}

function applyNames(names: Map<string, Node>, change: NameChange): void {
  for (const name of change.removed) names.delete(name)
  for (const [name, node] of change.added) names.set(name, node)
}

function sizeOf(node: Node): number {
  if (node.kind === 'file') return node.bytes.size
  let bytes = 0
  for (const child of node.names.values()) bytes += sizeOf(child)
  return bytes
}

function parts(path: string): string[] {
  return path.split('/').filter(part => part !== '')
}

function notFound(path: string): DiskError {
  return new DiskError('NOT_FOUND', path, 'there is no such file or folder')
}
