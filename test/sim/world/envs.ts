/**
 * What a simulated process gets as its world: the broker's `Env`, or the client's. Both are views of the same
 * machine: its clocks, its share of the network, its disk.
 */
import { type Env, type Log, type LogFields, type Network, type Random } from '../../../broker/env.ts'
import { type ClientEnv, type ClientSocket, SocketError, type SocketReceiver } from '../../../client/env.ts'
import { type SimDisk } from './disk.ts'
import { type SimNetwork } from './network.ts'
import { type SimProcess } from './process.ts'
import { type Endpoint } from './socket.ts'

export type Trace = (process: string, level: string, message: string, fields: LogFields) => void

export function brokerEnv(
  process: SimProcess,
  network: SimNetwork,
  disk: SimDisk,
  random: Random,
  trace: Trace | null,
): Env {
  const view: Network = {
    listen: async (address, accept) => {
      const bound = network.listen(process, address.port, accept)
      return { address: bound, close: async () => network.unlisten(bound) }
    },
    connect: (address, timeoutMs) => network.connect(process, address, timeoutMs),
  }
  const log = simLog(process.name, {}, trace)
  return { clock: process, timers: process, random, disk: disk.of(process), network: view, log }
}

export function clientEnv(process: SimProcess, network: SimNetwork, random: Random): ClientEnv {
  return {
    clock: process,
    timers: process,
    // The client hands them on without their object.
    random: { float: () => random.float(), int: below => random.int(below) },
    connect: async (address, { timeoutMs }) => {
      try {
        return new ClientStream(await network.connect(process, address, timeoutMs))
      } catch (error) {
        throw socketError(error as Error & { code: string })
      }
    },
  }
}

class ClientStream implements ClientSocket {
  readonly #endpoint: Endpoint

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint
  }

  start(receiver: SocketReceiver): void {
    this.#endpoint.start({
      room: () => receiver.room(),
      received: length => receiver.received(length),
      ended: () => this.#endpoint.destroy(),
      closed: error => receiver.closed(error === null ? null : socketError(error)),
    })
  }

  write(chunks: readonly Uint8Array[], done: (error: SocketError | null) => void): void {
    this.#endpoint.write(chunks, error => done(error === null ? null : socketError(error)))
  }

  keepAlive(): void {}

  destroy(): void {
    this.#endpoint.destroy()
  }
}

function socketError(error: Error & { readonly code: string }): SocketError {
  return new SocketError(error.code, error.message, error)
}

function simLog(process: string, base: LogFields, trace: Trace | null): Log {
  const say =
    (level: string) =>
    (message: string, fields: LogFields = {}): void =>
      trace?.(process, level, message, { ...base, ...fields })
  return {
    debug: say('debug'),
    info: say('info'),
    warn: say('warn'),
    error: say('error'),
    child: fields => simLog(process, { ...base, ...fields }, trace),
  }
}
