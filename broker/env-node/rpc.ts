/**
 * gRPC, by the library of its project: the one file that knows it. Messages stay bytes here. One channel is one
 * connection to one server: no retries, no proxies and no balancing happen behind our back, because only the caller
 * knows what may be done twice.
 */
import { Client, connectivityState, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import {
  type Address,
  type Rpc,
  type RpcChannel,
  RpcError,
  type RpcMetadata,
  type RpcReceiver,
  type RpcStatus,
  type RpcStream,
  type RpcTls,
} from '../env.ts'

/** More than etcd sends in one piece, but for a read of everything there is. */
const MAX_MESSAGE_BYTES = 256 * 1024 * 1024
/** Servers refuse clients that ask more often than every 5 s whether they are still there. */
const PING_EVERY_MS = 6000
const PING_TIMEOUT_MS = 3000
const LONGEST_INTERVAL_MS = 2 ** 31 - 1

const OPTIONS = {
  'grpc.enable_retries': 0,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_channelz': 0,
  'grpc.service_config_disable_resolution': 1,
  // Channels to one server must not share a connection: a new channel is a new attempt.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  'grpc.max_send_message_length': MAX_MESSAGE_BYTES,
  'grpc.keepalive_time_ms': PING_EVERY_MS,
  'grpc.keepalive_timeout_ms': PING_TIMEOUT_MS,
}

export function createNodeRpc(): Rpc {
  return {
    open: (address, tls) => new NodeRpcChannel(address, tls),
    hold: () => {
      const timer = setInterval(() => {}, LONGEST_INTERVAL_MS)
      return () => clearInterval(timer)
    },
  }
}

class NodeRpcChannel implements RpcChannel {
  readonly #client: Client

  constructor(address: Address, tls: RpcTls | null) {
    const serverName =
      tls?.serverName === undefined ? {} : { 'grpc.ssl_target_name_override': tls.serverName }
    this.#client = new Client(target(address), tls === null ? credentials.createInsecure() : secure(tls), {
      ...OPTIONS,
      ...serverName,
    })
  }

  get isConnected(): boolean {
    return this.#client.getChannel().getConnectivityState(false) === connectivityState.READY
  }

  call(method: string, request: Uint8Array, metadata: RpcMetadata, timeoutMs: number): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + timeoutMs
      try {
        this.#client.makeUnaryRequest(
          method,
          toBuffer,
          asIs,
          request,
          toMetadata(metadata),
          { deadline },
          (error, response) => {
            if (error !== null) reject(rpcError(error))
            else resolve(response ?? new Uint8Array())
          },
        )
      } catch (error) {
        // The library throws where the channel has been closed.
        reject(new RpcError('CANCELLED', 'the channel is closed', error))
      }
    })
  }

  stream(method: string, metadata: RpcMetadata, receiver: RpcReceiver): RpcStream {
    const call = this.#client.makeBidiStreamRequest(method, toBuffer, asIs, toMetadata(metadata))
    let isOver = false
    const end = (error: RpcError | null): void => {
      if (isOver) return
      isOver = true
      receiver.ended(error)
    }
    call.on('data', (message: Uint8Array) => {
      if (!isOver) receiver.received(message)
    })
    call.on('error', (error: ServiceError) => end(rpcError(error)))
    call.on('end', () => end(null))
    return {
      send: message => {
        if (!isOver) call.write(message)
      },
      cancel: () => {
        isOver = true
        call.cancel()
      },
    }
  }

  close(): void {
    this.#client.close()
  }
}

function secure(tls: RpcTls): ReturnType<typeof credentials.createSsl> {
  const bytes = (pem: Uint8Array | undefined): Buffer | null => (pem === undefined ? null : toBuffer(pem))
  return credentials.createSsl(bytes(tls.authorities), bytes(tls.key), bytes(tls.certificate))
}

function target({ host, port }: Address): string {
  return host.includes(':') ? `ipv6:[${host}]:${port}` : `dns:${host}:${port}`
}

function toMetadata(fields: RpcMetadata): Metadata {
  const metadata = new Metadata()
  for (const [name, value] of Object.entries(fields)) metadata.set(name, value)
  return metadata
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function asIs(bytes: Buffer): Uint8Array {
  return bytes
}

function rpcError(error: ServiceError): RpcError {
  const { code, details, message } = error
  const refusal =
    /^No connection established\. Last error: (?:Error: )?(.*?)(?:\. Resolution note: .*)?$/s.exec(details)
  return new RpcError(status[code] as RpcStatus, refusal?.[1] ?? (details || message), error)
}
