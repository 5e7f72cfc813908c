/**
 * The world as the broker sees it. Everything outside the process's own memory is reached through these
 * interfaces: time, timers, chance, the disk, the network and the log of what happens. `env-node.ts` is their
 * only real implementation; tests and the simulator bring their own, and that is what lets a whole broker
 * replay from a seed. Nothing here may leak a Node type that a simulator could not make.
 */

export interface Env {
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
  readonly disk: Disk
  readonly network: Network
  readonly log: Log
}

export interface Clock {
  /** Milliseconds since 1970, an integer. May jump either way: use it for record timestamps and nothing else. */
  wallMs(): number
  /** Milliseconds since an arbitrary start, with a fraction; never goes back. For every duration and deadline. */
  monotonicMs(): number
}

/** A pending timer; opaque to everyone but the `Timers` that made it. */
export interface TimerHandle {
  readonly timer: unique symbol
}

export interface Timers {
  /** Calls `callback` once, not before `delayMs` (0 .. 2^31-1) has passed. A pending timer does not keep a process alive. */
  set(delayMs: number, callback: () => void): TimerHandle
  clear(handle: TimerHandle): void
  /**
   * Calls `callback` after everything that is ready now has been handled (sockets already polled, promises already
   * settled): the place where work gathered in one turn of the event loop is carried out at once.
   */
  endOfTurn(callback: () => void): void
}

export interface Random {
  /** A float in [0, 1). */
  float(): number
  /** An integer in [0, below); below is 1 .. 2^48. */
  int(below: number): number
  /** Fresh bytes, fit for ids and nonces. */
  bytes(length: number): Uint8Array
}

/** Fields are plain data; an `error` field may hold an Error. Values that came from outside are escaped by the sink. */
export type LogFields = Readonly<Record<string, unknown>>

export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** A log that adds `fields` to every line. */
  child(fields: LogFields): Log
}

// ---------------------------------------------------------------------------------------------- disk

export type DiskErrorCode =
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'NOT_EMPTY'
  | 'DISK_FULL'
  | 'ACCESS_DENIED'
  | 'LOCKED'
  | 'IO_ERROR'

/** Every failure of a `Disk` or `DiskFile`. `cause` is the system's own error. */
export class DiskError extends Error {
  override readonly name = 'DiskError'
  readonly code: DiskErrorCode
  readonly path: string

  constructor(code: DiskErrorCode, path: string, message: string, cause?: unknown) {
    super(`${message} (${path})`, { cause })
    this.code = code
    this.path = path
  }
}

/**
 * - `read`: must exist, read only
 * - `write`: must exist, read and write
 * - `create`: made if absent, kept if present, read and write
 * - `create-new`: must not exist (ALREADY_EXISTS), read and write
 */
export type OpenMode = 'read' | 'write' | 'create' | 'create-new'

export interface DirectoryEntry {
  readonly name: string
  readonly kind: 'file' | 'directory' | 'other'
}

/**
 * A file system, as small as the broker can live with. Paths are absolute, with '/' separators. Every promise
 * rejects with a `DiskError`. Nothing is durable until its sync has resolved: bytes by the file's `sync`, names
 * (creation, rename, removal) by `syncDirectory` of the folder that holds them.
 */
export interface Disk {
  open(path: string, mode: OpenMode): Promise<DiskFile>
  /** NOT_FOUND where the folder is missing; order is by name. */
  list(path: string): Promise<DirectoryEntry[]>
  /** Size in bytes of a file, or null where there is none. */
  size(path: string): Promise<number | null>
  /** Makes the folder and its missing parents; content when it is there already. */
  makeDirectory(path: string): Promise<void>
  /** Replaces `to` atomically where it exists (files); folders want a free name. */
  rename(from: string, to: string): Promise<void>
  /** Removes one file; NOT_FOUND where there is none. */
  remove(path: string): Promise<void>
  /** Removes a folder with all that is in it; content when it is missing. */
  removeTree(path: string): Promise<void>
  syncDirectory(path: string): Promise<void>
  /** Whole content of a small file; NOT_FOUND where there is none. */
  readFile(path: string): Promise<Buffer>
  /** Bytes in all and bytes free of the file system that holds `path`. */
  space(path: string): Promise<{ readonly totalBytes: number; readonly freeBytes: number }>
  /**
   * Takes the folder for this process until the returned function is called or the process ends.
   * LOCKED (with the holder's process id in the message, where known) when another live process has it.
   */
  lock(path: string): Promise<() => Promise<void>>
}

/**
 * An open file. Reads and writes name their position; there is no cursor. Buffers handed to a write or a read
 * belong to the file until the promise settles: the caller must neither change nor recycle them before.
 */
export interface DiskFile {
  readonly path: string
  /** Fills `into` from `position`; resolves to the bytes read, which are fewer only at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>
  /** The same at once, on the event loop: for small pieces that are known to be in the page cache. */
  readSync(into: Uint8Array, position: number): number
  /** Writes all of `chunks` one after another from `position`; a short write is carried on inside. */
  write(chunks: readonly Uint8Array[], position: number): Promise<void>
  /** The same at once, on the event loop. Throws DiskError; what had been written by then is undefined. */
  writeSync(chunks: readonly Uint8Array[], position: number): void
  /** fdatasync: data and size. A rejection is fatal: the page cache may have dropped the data, so never retry. */
  sync(): Promise<void>
  /** Cuts or extends (with zeros) to `size`. */
  truncate(size: number): Promise<void>
  /** Reserves blocks up to `size` and extends the file to it, where the system can; else extends with zeros. */
  allocate(size: number): Promise<void>
  size(): Promise<number>
  /** Waits for reads, writes and syncs under way; later calls reject. */
  close(): Promise<void>
}

// ------------------------------------------------------------------------------------------- network

export interface Address {
  readonly host: string
  readonly port: number
}

export interface Network {
  /** Port 0 takes a free one. Rejects with a `NetworkError`. */
  listen(address: Address, accept: (socket: Socket) => void): Promise<Listener>
  connect(address: Address, timeoutMs: number): Promise<Socket>
}

export class NetworkError extends Error {
  override readonly name = 'NetworkError'
  /** The system's code, as ECONNREFUSED, EADDRINUSE. */
  readonly code: string

  constructor(code: string, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

export interface Listener {
  readonly address: Address
  /** Stops accepting; connections that are open stay open. */
  close(): Promise<void>
}

/**
 * Where a socket puts what it receives. The socket asks for room, writes into it, and tells how much: so the bytes
 * land where their owner wants them and are not copied again.
 */
export interface Receiver {
  /** Room for the next bytes, at least one byte long. Asked again after every `received`. */
  room(): Uint8Array
  /** The first `length` bytes of the last room are filled. */
  received(length: number): void
  /** The peer has sent all it will send. */
  ended(): void
  /** Called exactly once, last: after `destroy`, a reset, or both ends closed. Null when nothing went wrong. */
  closed(error: NetworkError | null): void
}

/** A stream of bytes to a peer. Reading starts paused, with `start`. */
export interface Socket {
  readonly remote: Address
  readonly local: Address
  /** To be called before the first `write`: later the system's bytes may have to be copied into the receiver's room. */
  start(receiver: Receiver): void
  /** After pause, at most what was already under way is still received. */
  pause(): void
  resume(): void
  /**
   * Sends all of `chunks`, in order, as one vectored write where the system can. They stay the socket's until `done`
   * is called (exactly once, also when the connection breaks: then with the error).
   */
  write(chunks: readonly Uint8Array[], done: (error: NetworkError | null) => void): void
  /** Bytes accepted by `write` whose `done` has not been called. */
  readonly pendingBytes: number
  /** Sends what is pending, then closes. */
  end(): void
  /** Closes at once; pending writes end with an error. */
  destroy(): void
}

// ----------------------------------------------------------------------------------------------- rpc

/** Calls to servers of other makers that speak gRPC. Not part of `Env`: only a broker in a cluster needs it. */
export interface Rpc {
  /** Makes a channel to one server. It connects when it is first used, and does not look for another server. */
  open(address: Address, tls: RpcTls | null): RpcChannel
  /** Keeps the process alive until the returned function is called: neither timers nor idle channels do. */
  hold(): () => void
}

/** PEM. Without `authorities` the system's are trusted; with `certificate` and `key` we show who we are. */
export interface RpcTls {
  readonly authorities?: Uint8Array
  readonly certificate?: Uint8Array
  readonly key?: Uint8Array
  /** The name that the server's certificate must carry, where it is not the host's. */
  readonly serverName?: string
}

export type RpcMetadata = Readonly<Record<string, string>>

export interface RpcChannel {
  /** False: a call would have to connect first. */
  readonly isConnected: boolean
  /** One request, one answer. `method` as /package.Service/Method. Rejects with an `RpcError`. */
  call(method: string, request: Uint8Array, metadata: RpcMetadata, timeoutMs: number): Promise<Uint8Array>
  /** Both sides send as they like, until one of them ends it. */
  stream(method: string, metadata: RpcMetadata, receiver: RpcReceiver): RpcStream
  /** Ends at once what is under way: calls reject, streams end. */
  close(): void
}

export interface RpcReceiver {
  received(message: Uint8Array): void
  /** Called exactly once, last, but for a stream that was cancelled. Null: the server ended it without a complaint. */
  ended(error: RpcError | null): void
}

export interface RpcStream {
  send(message: Uint8Array): void
  /** Nothing is received any more, `ended` is not called either. */
  cancel(): void
}

/** The codes of gRPC. */
export type RpcStatus =
  | 'CANCELLED'
  | 'UNKNOWN'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'OUT_OF_RANGE'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS'
  | 'UNAUTHENTICATED'

export class RpcError extends Error {
  override readonly name = 'RpcError'
  readonly status: RpcStatus

  constructor(status: RpcStatus, message: string, cause?: unknown) {
    super(message, { cause })
    this.status = status
  }
}
