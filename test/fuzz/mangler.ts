/**
 * What stands between a client and a broker in memory and changes the answers: some of their bytes, what they say in
 * sound bytes, their order, or whether they come at all.
 */
import { type NetworkError, type Receiver, type Socket } from '../../broker/env.ts'
import { type MemoryEnv } from '../../broker/env-memory.ts'
import {
  type ClientEnv,
  type ClientSocket,
  type ClientTimer,
  SocketError,
  type SocketReceiver,
} from '../../client/env.ts'
import { type Api, ApiKey, apiByKey } from '../../client/protocol/apis.ts'
import { ProtocolError } from '../../client/protocol/errors.ts'
import { decodeRequestHeader, decodeResponseHeader } from '../../client/protocol/frame.ts'
import { Reader } from '../../client/protocol/reader.ts'
import { type Chance } from './chance.ts'
import { type Marked, mutate, mutateRaw } from './mutate.ts'
import { withSize } from './requests.ts'
import { SiteWriter } from './site-writer.ts'
import { type Probe } from './target.ts'

export interface Mangling {
  /** One answer in so many is changed; 0: none. */
  oneIn: number
  readonly sockets: Set<ClientSocket>
}

/** A client's environment over the one in memory. */
export function mangledEnv(env: MemoryEnv, chance: Chance, mangling: Mangling, probe: Probe): ClientEnv {
  const { clock } = env
  const set = (delayMs: number, callback: () => void): ClientTimer =>
    clock.set(delayMs, callback) as unknown as ClientTimer
  return {
    clock,
    timers: {
      set,
      setBackground: set,
      clear: timer => clock.clear(timer as never),
      endOfTurn: callback => clock.endOfTurn(callback),
    },
    random: { float: () => env.random.float(), int: below => env.random.int(below) },
    connect: async (address, options) => {
      try {
        const socket = await env.network.connect(address, options.timeoutMs)
        const mangled = new MangledSocket(socket, chance, mangling, probe)
        mangling.sockets.add(mangled)
        return mangled
      } catch (error) {
        throw new SocketError((error as NetworkError).code, (error as NetworkError).message, error)
      }
    },
  }
}

interface Asked {
  readonly api: Api
  readonly version: number
}

class MangledSocket implements ClientSocket, Receiver {
  readonly #socket: Socket
  readonly #chance: Chance
  readonly #mangling: Mangling
  readonly #probe: Probe
  readonly #room = Buffer.alloc(64 * 1024)
  #receiver: SocketReceiver | null = null
  #sent = Buffer.alloc(0)
  #received = Buffer.alloc(0)
  #last = Buffer.alloc(0)
  readonly #asked: Asked[] = []

  constructor(socket: Socket, chance: Chance, mangling: Mangling, probe: Probe) {
    this.#socket = socket
    this.#chance = chance
    this.#mangling = mangling
    this.#probe = probe
  }

  start(receiver: SocketReceiver): void {
    this.#receiver = receiver
    this.#socket.start(this)
  }

  write(chunks: readonly Uint8Array[], done: (error: SocketError | null) => void): void {
    this.#sent = Buffer.concat([this.#sent, ...chunks])
    while (this.#sent.length >= 4 && this.#sent.length >= 4 + this.#sent.readInt32BE(0)) {
      const end = 4 + this.#sent.readInt32BE(0)
      this.#note(this.#sent.subarray(4, end))
      this.#sent = this.#sent.subarray(end)
    }
    this.#socket.write(chunks, error =>
      done(error === null ? null : new SocketError(error.code, error.message)),
    )
  }

  #note(frame: Buffer): void {
    const reader = new Reader(frame)
    const { apiKey, apiVersion } = decodeRequestHeader(reader)
    const api = apiByKey(apiKey)!
    const request = api.request.at(apiVersion).decode(reader) as { acks?: number }
    if (apiKey !== ApiKey.Produce || request.acks !== 0) this.#asked.push({ api, version: apiVersion })
  }

  keepAlive(): void {}

  destroy(): void {
    this.#socket.destroy()
  }

  room(): Uint8Array {
    return this.#room
  }

  received(length: number): void {
    this.#received = Buffer.concat([this.#received, this.#room.subarray(0, length)])
    while (this.#received.length >= 4 && this.#received.length >= 4 + this.#received.readInt32BE(0)) {
      const end = 4 + this.#received.readInt32BE(0)
      const frame = Buffer.from(this.#received.subarray(0, end))
      this.#received = this.#received.subarray(end)
      const asked = this.#asked.shift()
      const { oneIn } = this.#mangling
      if (asked === undefined || oneIn === 0 || !this.#chance.once(oneIn)) this.#deliver(frame)
      else this.#mangle(frame, asked)
      this.#last = frame
    }
  }

  #mangle(frame: Buffer, asked: Asked): void {
    const chance = this.#chance
    const body = frame.subarray(4)
    const note = `answer to ${asked.api.name} v${asked.version}`
    switch (chance.int(10)) {
      case 0:
        // Never answered.
        return
      case 1:
        this.#probe.input(this.#last, `${note} is an old one`)
        this.#deliver(this.#last)
        return
      case 2:
        this.#probe.input(frame, `${note} comes twice`)
        this.#deliver(Buffer.concat([frame, frame]))
        return
      case 3: {
        const bytes = mutateRaw(frame, this.#last, chance)
        this.#probe.input(bytes, `${note}, raw`)
        this.#deliver(bytes)
        return
      }
      case 4:
      case 5:
      case 6: {
        const bytes = withSize(mutate(marked(body, asked, null), this.#last.subarray(4), chance))
        this.#probe.input(bytes, `${note}, mauled`)
        this.#deliver(bytes)
        return
      }
      default: {
        // A broker that gives out wrong producer ids has harmed the log for good.
        const isTrue = asked.api.key === ApiKey.InitProducerId
        const bytes = withSize(marked(body, asked, isTrue ? null : chance).bytes)
        this.#probe.input(bytes, `${note}, untrue`)
        this.#deliver(bytes)
      }
    }
  }

  #deliver(bytes: Buffer): void {
    const receiver = this.#receiver
    if (receiver === null) return
    for (let at = 0; at < bytes.length; ) {
      const room = receiver.room()
      const most = Math.min(room.length, bytes.length - at)
      const length = this.#chance.once(3) ? 1 + this.#chance.int(most) : most
      room.set(bytes.subarray(at, at + length))
      at += length
      receiver.received(length)
    }
  }

  ended(): void {
    this.#socket.end()
  }

  closed(error: NetworkError | null): void {
    this.#mangling.sockets.delete(this)
    this.#receiver?.closed(error === null ? null : new SocketError(error.code, error.message))
  }
}

/** An answer with its lengths marked; with `chance`, one of its values is another. */
function marked(body: Buffer, { api, version }: Asked, chance: Chance | null): Marked {
  try {
    const reader = new Reader(body)
    const correlationId = decodeResponseHeader(reader, api, version)
    const value = api.response.at(version).decode(reader)
    if (chance !== null) makeUntrue(value, chance)
    const writer = new SiteWriter()
    writer.int32(correlationId)
    if (api.responseHeaderVersion(version) === 1) writer.uvarint(0)
    api.response.at(version).encode(writer, value)
    return { bytes: writer.concat(), sites: writer.sites }
  } catch (error) {
    if (error instanceof ProtocolError) return { bytes: body, sites: [] }
    throw error
  }
}

type Holder = Record<string, unknown>

/** Changes one or two of the values somewhere in a message to others of their type. */
function makeUntrue(value: unknown, chance: Chance): void {
  const places: { holder: Holder; name: string }[] = []
  gather(value, places)
  if (places.length === 0) return
  for (let left = 1 + chance.int(2); left > 0; left--) {
    const { holder, name } = chance.pick(places)
    holder[name] = otherThan(holder[name], chance)
  }
}

function gather(value: unknown, places: { holder: Holder; name: string }[]): void {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return
  for (const name of Object.keys(value)) {
    const holder = value as Holder
    if (
      typeof holder[name] !== 'object' ||
      Array.isArray(holder[name]) ||
      holder[name] instanceof Uint8Array
    ) {
      places.push({ holder, name })
    }
    gather(holder[name], places)
  }
}

function otherThan(value: unknown, chance: Chance): unknown {
  if (typeof value === 'number')
    return chance.once(2) ? chance.pick([0, 1, -1, 2, 6, 3, 100]) : chance.integer(16)
  if (typeof value === 'bigint') return BigInt(chance.integer(64))
  if (typeof value === 'boolean') return !value
  if (typeof value === 'string') {
    if (/^[0-9a-f]{32}$/.test(value)) return chance.bytes(16).toString('hex')
    return chance.pick(['', '__proto__', 'alpha', `${value}x`, 'x'.repeat(300), '127.0.0.1:1'])
  }
  if (value instanceof Uint8Array) return mutateRaw(Buffer.from(value), Buffer.from(value), chance)
  if (Array.isArray(value)) {
    const draw = chance.int(3)
    return draw === 0 ? [] : draw === 1 ? [...value, ...value] : value.slice(1)
  }
  return value
}
