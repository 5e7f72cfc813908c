/**
 * A disk in memory: fast enough to be the storage of somebody's test broker, and, with `trackCrashes`, honest
 * enough to lose what a real one may lose. Then every file has a durable image beside what is visible, every folder
 * a durable list of names beside the visible one, and `crash` falls back to the durable state plus whatever part of
 * the rest it likes.
 */
import { assert } from '../../client/protocol/assert.ts'
import {
  type DirectoryEntry,
  type Disk,
  DiskError,
  type DiskErrorCode,
  type DiskFile,
  type OpenMode,
} from '../env.ts'
import { MemoryBytes } from './memory-bytes.ts'
import { type SeededRandom } from './random.ts'

export type DiskOperation =
  | 'open'
  | 'read'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'rename'
  | 'remove'
  | 'list'
  | 'makeDirectory'
  | 'syncDirectory'

export interface DiskFault {
  readonly operation: DiskOperation
  /** Only paths that it matches; default: all. */
  readonly path?: RegExp
  readonly code: DiskErrorCode
  /** Operations that match and still succeed before. Default 0. */
  readonly after?: number
  /** How often it strikes; default: until removed. */
  readonly times?: number
  /** For a write: bytes that still arrive. Default 0. */
  readonly writtenBytes?: number
}

export interface MemoryDiskOptions {
  /** Keep what a crash needs; costs a copy of every byte that is not synced. Default false. */
  readonly trackCrashes?: boolean
  /** Writing beyond it fails with DISK_FULL. Default: no bound. */
  readonly capacityBytes?: number
}

export interface CrashOptions {
  /** `none`: only what was synced survives. `all`: everything does (a killed process). `random`: any part does. */
  readonly keep: 'none' | 'all' | 'random'
  /** Wanted for `random`. */
  readonly random?: SeededRandom
}

/** Unsynced bytes survive or vanish in pieces of this size; sectors are smaller, pages larger. */
const CRASH_PIECE_BYTES = 512

type FileChange =
  | { readonly kind: 'write'; position: number; bytes: Buffer }
  | { readonly kind: 'size'; size: number }

interface FileNode {
  readonly kind: 'file'
  bytes: MemoryBytes
  /** Null without crash tracking. */
  durable: MemoryBytes | null
  /** Since the last sync, in order. */
  changes: FileChange[]
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

export class MemoryDisk implements Disk {
  readonly #trackCrashes: boolean
  readonly #root: FolderNode
  readonly #faults = new Set<{ fault: DiskFault; seen: number; struck: number }>()
  readonly #holds = new Set<{ operation: DiskOperation; path: RegExp; released: Promise<void> }>()
  readonly #locks = new Set<string>()
  /** Raised by a crash: handles from before it are dead. */
  #life = 0
  #usedBytes = 0
  capacityBytes: number

  constructor(options: MemoryDiskOptions = {}) {
    this.#trackCrashes = options.trackCrashes ?? false
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY
    this.#root = this.#folder()
  }

  // ------------------------------------------------------------------------------------- for tests

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Makes operations fail until the returned function is called. */
  inject(fault: DiskFault): () => void {
    const entry = { fault, seen: 0, struck: 0 }
    this.#faults.add(entry)
    return () => void this.#faults.delete(entry)
  }

  /** Asynchronous operations that match wait until the returned function is called; synchronous ones do not. */
  hold(operation: DiskOperation, path = /(?:)/): () => void {
    let release = (): void => {}
    const released = new Promise<void>(resolve => {
      release = resolve
    })
    const entry = { operation, path, released }
    this.#holds.add(entry)
    return () => {
      this.#holds.delete(entry)
      release()
    }
  }

  /** Power is cut: handles die, locks are free, unsynced bytes and names survive as `options` say. */
  crash(options: CrashOptions): void {
    assert(this.#trackCrashes, 'crash wants a MemoryDisk made with trackCrashes')
    assert(
      options.keep !== 'random' || options.random !== undefined,
      'a random crash wants its source of chance',
    )
    this.#life++
    this.#locks.clear()
    this.#crashFolder(this.#root, options)
    this.#usedBytes = sizeOf(this.#root)
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
      durable: this.#trackCrashes ? new MemoryBytes() : null,
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
    let folder = this.#root
    for (const name of parts(path)) {
      let next = folder.names.get(name)
      if (next === undefined) {
        next = this.#folder()
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
    if (target !== undefined) this.#usedBytes -= target.bytes.size
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
    this.#usedBytes -= node.bytes.size
    this.#change(folder, { removed: [name], added: [] })
  }

  async removeTree(path: string): Promise<void> {
    await this.#enter('remove', path)
    const node = this.#lookup(path)
    if (node === undefined) return
    const [folder, name] = this.#parent(path)
    this.#usedBytes -= sizeOf(node)
    this.#change(folder, { removed: [name], added: [] })
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#enter('syncDirectory', path)
    const folder = this.#folderAt(path)
    if (folder.durable === null) return
    folder.durable = new Map(folder.names)
    folder.changes = []
  }

  async readFile(path: string): Promise<Buffer> {
    await this.#enter('read', path)
    const node = this.#file(path)
    const content = Buffer.alloc(node.bytes.size)
    node.bytes.read(content, 0)
    return content
  }

  async space(_path: string): Promise<{ totalBytes: number; freeBytes: number }> {
    const totalBytes = Math.min(this.capacityBytes, 2 ** 40)
    return { totalBytes, freeBytes: Math.max(0, totalBytes - this.#usedBytes) }
  }

  async lock(path: string): Promise<() => Promise<void>> {
    if (this.#locks.has(path))
      throw new DiskError('LOCKED', path, 'the data folder is in use by this process')
    this.#locks.add(path)
    return async () => void this.#locks.delete(path)
  }

  // ------------------------------------------------------------------------------------- inside

  #handle(path: string, node: FileNode, readOnly: boolean): DiskFile {
    const life = this.#life
    return new MemoryFile(path, node, readOnly, {
      enter: operation => this.#enter(operation, path),
      strike: (operation): DiskFault | null => this.#strike(operation, path),
      isAlive: () => this.#life === life,
      grow: bytes => {
        // Whatever does not fit is not written; the caller is told how much did.
        const granted = Math.min(bytes, Math.max(0, this.capacityBytes - this.#usedBytes))
        this.#usedBytes += granted
        return granted
      },
    })
  }

  async #enter(operation: DiskOperation, path: string): Promise<void> {
    for (const hold of this.#holds) {
      if (hold.operation === operation && hold.path.test(path)) await hold.released
    }
    // A write decides itself, because part of it may succeed.
    if (operation === 'write') return
    const fault = this.#strike(operation, path)
    if (fault !== null) throw faultError(fault, path)
  }

  #strike(operation: DiskOperation, path: string): DiskFault | null {
    for (const entry of this.#faults) {
      const { fault } = entry
      if (fault.operation !== operation || fault.path?.test(path) === false) continue
      if (entry.seen++ < (fault.after ?? 0)) continue
      if (++entry.struck >= (fault.times ?? Infinity)) this.#faults.delete(entry)
      return fault
    }
    return null
  }

  #folder(): FolderNode {
    return {
      kind: 'directory',
      names: new Map(),
      durable: this.#trackCrashes ? new Map() : null,
      changes: [],
    }
  }

  #change(folder: FolderNode, change: NameChange): void {
    applyNames(folder.names, change)
    if (folder.durable !== null) folder.changes.push(change)
  }

  #lookup(path: string): Node | undefined {
    let node: Node | undefined = this.#root
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

interface FileHost {
  enter(operation: DiskOperation): Promise<void>
  strike(operation: DiskOperation): DiskFault | null
  isAlive(): boolean
  /** Takes space; returns the bytes granted. Negative gives back. */
  grow(bytes: number): number
}

class MemoryFile implements DiskFile {
  readonly path: string
  readonly #node: FileNode
  readonly #readOnly: boolean
  readonly #host: FileHost
  #isOpen = true

  constructor(path: string, node: FileNode, readOnly: boolean, host: FileHost) {
    this.path = path
    this.#node = node
    this.#readOnly = readOnly
    this.#host = host
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    await this.#enter('read')
    return this.#node.bytes.read(into, position)
  }

  readSync(into: Uint8Array, position: number): number {
    this.#checkOpen()
    const fault = this.#host.strike('read')
    if (fault !== null) throw faultError(fault, this.path)
    return this.#node.bytes.read(into, position)
  }

  async write(chunks: readonly Uint8Array[], position: number): Promise<void> {
    await this.#enter('write')
    this.writeSync(chunks, position)
  }

  writeSync(chunks: readonly Uint8Array[], position: number): void {
    this.#checkOpen()
    if (this.#readOnly) throw new DiskError('ACCESS_DENIED', this.path, 'the file was opened to be read')
    const fault = this.#host.strike('write')
    let left = fault === null ? Infinity : (fault.writtenBytes ?? 0)
    let at = position
    for (const chunk of chunks) {
      const piece = left >= chunk.length ? chunk : chunk.subarray(0, left)
      this.#put(piece, at)
      at += piece.length
      left -= piece.length
      if (piece.length < chunk.length) break
    }
    if (fault !== null) throw faultError(fault, this.path)
  }

  async sync(): Promise<void> {
    await this.#enter('sync')
    const node = this.#node
    if (node.durable === null) return
    for (const change of node.changes) applyChange(node.durable, change)
    node.changes = []
  }

  async truncate(size: number): Promise<void> {
    await this.#enter('truncate')
    this.#resize(size)
  }

  async allocate(size: number): Promise<void> {
    await this.#enter('truncate')
    if (size > this.#node.bytes.size) this.#resize(size)
  }

  async size(): Promise<number> {
    this.#checkOpen()
    return this.#node.bytes.size
  }

  async close(): Promise<void> {
    this.#isOpen = false
  }

  async #enter(operation: DiskOperation): Promise<void> {
    this.#checkOpen()
    await this.#host.enter(operation)
    // The power may have been cut while the operation waited: then it must not touch the new life's bytes.
    if (!this.#host.isAlive()) throw new DiskError('IO_ERROR', this.path, 'the power was cut')
  }

  #put(bytes: Uint8Array, position: number): void {
    const growth = Math.max(0, position + bytes.length - this.#node.bytes.size)
    const granted = this.#host.grow(growth)
    const piece =
      granted === growth ? bytes : bytes.subarray(0, Math.max(0, bytes.length - (growth - granted)))
    if (piece.length > 0) {
      this.#node.bytes.write(piece, position)
      this.#track({ kind: 'write', position, bytes: piece as Buffer })
    }
    if (granted < growth) throw new DiskError('DISK_FULL', this.path, 'no space is left on the disk')
  }

  #resize(size: number): void {
    const growth = size - this.#node.bytes.size
    const granted = this.#host.grow(growth)
    if (granted < growth) {
      this.#host.grow(-granted)
      throw new DiskError('DISK_FULL', this.path, 'no space is left on the disk')
    }
    this.#node.bytes.resize(size)
    this.#track({ kind: 'size', size })
  }

  #track(change: FileChange): void {
    if (this.#node.durable === null) return
    // The caller may reuse its buffer as soon as the write is done.
    const kept = change.kind === 'write' ? { ...change, bytes: Buffer.from(change.bytes) } : change
    this.#node.changes.push(kept)
  }

  #checkOpen(): void {
    if (!this.#isOpen) throw new DiskError('IO_ERROR', this.path, 'the file is used after it was closed')
    if (!this.#host.isAlive())
      throw new DiskError('IO_ERROR', this.path, 'the file was open when the power was cut')
  }
}

function applyChange(image: MemoryBytes, change: FileChange): void {
  if (change.kind === 'size') image.resize(change.size)
  else image.write(change.bytes, change.position)
}

function applyNames(names: Map<string, Node>, change: NameChange): void {
  for (const name of change.removed) names.delete(name)
  for (const [name, node] of change.added) names.set(name, node)
}

function crashFile(node: FileNode, { keep, random }: CrashOptions): void {
  assert(node.durable !== null, 'a tracked file has a durable image')
  for (const change of node.changes) {
    if (keep === 'none') break
    if (keep === 'all') applyChange(node.durable, change)
    else if (change.kind === 'size') {
      if (random!.int(2) === 0) node.durable.resize(change.size)
    } else keepSomePieces(node.durable, change.position, change.bytes, random!)
  }
  node.changes = []
  node.bytes = node.durable.clone()
}

/** Each aligned piece of a write survives or does not, on its own: pages are written back in any order. */
function keepSomePieces(image: MemoryBytes, position: number, bytes: Buffer, random: SeededRandom): void {
  const mood = random.int(4)
  for (let at = 0; at < bytes.length; ) {
    const length = Math.min(bytes.length - at, CRASH_PIECE_BYTES - ((position + at) % CRASH_PIECE_BYTES))
    // Mostly all or nothing of a write; a real cut is seldom a coin for each sector.
    const survives = mood === 0 ? false : mood === 1 ? true : random.int(2) === 0
    if (survives) image.write(bytes.subarray(at, at + length), position + at)
    at += length
  }
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

function faultError(fault: DiskFault, path: string): DiskError {
  return new DiskError(fault.code, path, `injected fault: ${fault.operation} failed`)
}
