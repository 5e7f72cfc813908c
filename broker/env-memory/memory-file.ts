/**
 * An open file of the memory disk, and what a crash does to its content.
 */
import { assert } from '../../client/protocol/assert.ts'
import { DiskError, type DiskErrorCode, type DiskFile } from '../env.ts'
import { type MemoryBytes } from './memory-bytes.ts'
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

export interface FileNode {
  readonly kind: 'file'
  bytes: MemoryBytes
  /** Null without crash tracking. */
  durable: MemoryBytes | null
  /** Since the last sync, in order. */
  changes: FileChange[]
}

export interface FileHost {
  enter(operation: DiskOperation): Promise<void>
  strike(operation: DiskOperation): DiskFault | null
  isAlive(): boolean
  /** Takes space; returns the bytes granted. Negative gives back. */
  grow(bytes: number): number
}

export class MemoryFile implements DiskFile {
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
    const node = this.#node
    // What is written while the sync is under way is not promised to be part of it.
    const covered = node.changes.at(-1)
    await this.#enter('sync')
    if (node.durable === null || covered === undefined) return
    // Another sync may have been faster.
    const last = node.changes.indexOf(covered)
    for (const change of node.changes.splice(0, last + 1)) applyChange(node.durable, change)
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

export function crashFile(node: FileNode, { keep, random }: CrashOptions): void {
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

export function faultError(fault: DiskFault, path: string): DiskError {
  return new DiskError(fault.code, path, `injected fault: ${fault.operation} failed`)
}
