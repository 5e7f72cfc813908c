/**
 * A server that speaks etcd's messages as a test tells it to, on time that the test moves: for what a real one cannot be
 * made to do at will.
 */
import {
  type Address,
  type Rpc,
  type RpcChannel,
  RpcError,
  type RpcMetadata,
  type RpcReceiver,
  type RpcStream,
} from '../../../../broker/env.ts'
import { createMemoryEnv } from '../../../../broker/env-memory.ts'
import { METHODS } from '../../../../broker/metastore/etcd/messages.ts'
import { ProtobufReader, ProtobufWriter } from '../../../../broker/metastore/etcd/protobuf.ts'
import { type EtcdOptions, openEtcdMetaStore } from '../../../../broker/metastore/etcd.ts'
import { type MetaStore } from '../../../../broker/metastore/metastore.ts'

export interface FakeCall {
  readonly port: number
  readonly method: string
  readonly request: Uint8Array
  readonly metadata: RpcMetadata
  readonly timeoutMs: number
}

export interface FakeStream {
  readonly port: number
  readonly method: string
  /** What the client has sent. */
  readonly sent: Uint8Array[]
  isCancelled: boolean
  reply(message: ProtobufWriter): void
  cut(error?: RpcError): void
}

type Answer = ProtobufWriter | RpcError | Promise<ProtobufWriter>

export class FakeEtcd implements Rpc {
  readonly calls: FakeCall[] = []
  readonly streams: FakeStream[] = []
  readonly channels: FakeChannel[] = []
  version = '3.5.33'
  clusterId = 7n
  /** Of calls other than the first question of a connection. */
  answer: (call: FakeCall) => Answer = () => new ProtobufWriter()
  /** Ports on which nobody listens. */
  readonly down = new Set<number>()

  open(address: Address): RpcChannel {
    const channel = new FakeChannel(this, address.port)
    this.channels.push(channel)
    return channel
  }

  /** How many want the process to stay. */
  holds = 0

  hold(): () => void {
    this.holds++
    return () => void this.holds--
  }

  /** Calls other than the first question of a connection. */
  get asked(): FakeCall[] {
    return this.calls.filter(call => call.method !== METHODS.status)
  }

  get lastStream(): FakeStream {
    const stream = this.streams.at(-1)
    if (stream === undefined) throw new Error('no stream was opened')
    return stream
  }
}

class FakeChannel implements RpcChannel {
  readonly #etcd: FakeEtcd
  readonly #port: number
  isConnected = false
  isClosed = false

  constructor(etcd: FakeEtcd, port: number) {
    this.#etcd = etcd
    this.#port = port
  }

  async call(
    method: string,
    request: Uint8Array,
    metadata: RpcMetadata,
    timeoutMs: number,
  ): Promise<Uint8Array> {
    const etcd = this.#etcd
    const call = { port: this.#port, method, request: Buffer.from(request), metadata, timeoutMs }
    etcd.calls.push(call)
    if (etcd.down.has(this.#port)) {
      this.isConnected = false
      throw new RpcError('UNAVAILABLE', 'connect ECONNREFUSED')
    }
    this.isConnected = true
    const answer = await (method === METHODS.status ? this.#status() : etcd.answer(call))
    if (answer instanceof RpcError) throw answer
    return answer.finish()
  }

  stream(method: string, _metadata: RpcMetadata, receiver: RpcReceiver): RpcStream {
    const stream: FakeStream = {
      port: this.#port,
      method,
      sent: [],
      isCancelled: false,
      reply: message => {
        if (!stream.isCancelled) receiver.received(Buffer.from(message.finish()))
      },
      cut: error => {
        if (stream.isCancelled) return
        stream.isCancelled = true
        receiver.ended(error ?? new RpcError('UNAVAILABLE', 'the connection was reset'))
      },
    }
    this.#etcd.streams.push(stream)
    return {
      send: message => void stream.sent.push(Buffer.from(message)),
      cancel: () => {
        stream.isCancelled = true
      },
    }
  }

  close(): void {
    this.isClosed = true
  }

  #status(): ProtobufWriter {
    const header = new ProtobufWriter().integer(1, this.#etcd.clusterId).integer(3, 1)
    return new ProtobufWriter().message(1, header).text(2, this.#etcd.version).integer(4, 99n)
  }
}

export type FakeWorld = ReturnType<typeof createMemoryEnv> & {
  readonly etcd: FakeEtcd
  open(options?: Partial<EtcdOptions>): Promise<MetaStore>
}

/** Three members, on the ports 1 to 3; which one is the first is chance, and always the same. */
export function fakeWorld(): FakeWorld {
  const env = createMemoryEnv()
  const etcd = new FakeEtcd()
  return Object.assign(env, {
    etcd,
    open: (options: Partial<EtcdOptions> = {}) =>
      openEtcdMetaStore({
        env,
        rpc: etcd,
        endpoints: ['http://e:1', 'http://e:2', 'http://e:3'],
        ...options,
      }),
  })
}

// --------------------------------------------------------------------------------------- what a server says

export function header(revision: number): ProtobufWriter {
  return new ProtobufWriter().integer(3, revision)
}

export function event(key: string, revision: number): ProtobufWriter {
  const entry = new ProtobufWriter()
    .text(1, key)
    .integer(2, revision)
    .integer(3, revision)
    .integer(4, 1)
    .text(5, 'value')
  return new ProtobufWriter().message(2, entry)
}

export interface WatchAnswer {
  readonly revision: number
  readonly id?: number
  readonly created?: boolean
  readonly canceled?: boolean
  readonly compactRevision?: number
  readonly reason?: string
  readonly fragment?: boolean
  readonly events?: readonly ProtobufWriter[]
}

export function watchAnswer(answer: WatchAnswer): ProtobufWriter {
  const message = new ProtobufWriter()
    .message(1, header(answer.revision))
    .integer(2, answer.id ?? 0)
    .flag(3, answer.created ?? false)
    .flag(4, answer.canceled ?? false)
    .integer(5, answer.compactRevision ?? 0)
    .text(6, answer.reason ?? '')
    .flag(7, answer.fragment ?? false)
  for (const one of answer.events ?? []) message.message(11, one)
  return message
}

// --------------------------------------------------------------------------------------- what a client asks

export interface Creation {
  readonly from: number
  readonly start: string
  readonly end: string
}

/** The watches that a client asks for in these messages. */
export function creations(messages: readonly Uint8Array[]): Creation[] {
  const found: Creation[] = []
  for (const message of messages) {
    const reader = new ProtobufReader(message)
    if (reader.next() !== 1) continue
    const creation = { from: 0, start: '', end: '' }
    const fields = reader.message()
    for (let field = fields.next(); field !== 0; field = fields.next()) {
      if (field === 1) creation.start = fields.text()
      else if (field === 2) creation.end = fields.text()
      else if (field === 3) creation.from = fields.integer()
    }
    found.push(creation)
  }
  return found
}

/** How often a client asks for progress in these messages. */
export function progressRequests(messages: readonly Uint8Array[]): number {
  return messages.filter(message => new ProtobufReader(message).next() === 3).length
}
