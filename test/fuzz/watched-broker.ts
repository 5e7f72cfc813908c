/**
 * A broker in a process of its own, on real sockets and a real disk, with its vitals; and a client of the bare
 * protocol.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Address, type NetworkError, type Receiver, type Socket } from '../../broker/env.ts'
import { createNodeLog } from '../../broker/env-node/log.ts'
import { createNodeNetwork } from '../../broker/env-node/network.ts'
import { type Api } from '../../client/protocol/apis.ts'
import { decodeResponseHeader, encodeRequest } from '../../client/protocol/frame.ts'
import { Reader } from '../../client/protocol/reader.ts'
import { type Vitals } from './monitor.ts'
import { Violation } from './target.ts'

const START_MS = 30_000
const ANSWER_MS = 20_000

export const network = createNodeNetwork({ log: createNodeLog({ level: 'error' }) })

export class WatchedBroker implements AsyncDisposable {
  readonly address: Address
  readonly #child: ChildProcess
  readonly #home: string
  #output = ''
  readonly #gone: Promise<unknown>
  /** Why it is gone, or null while it is there. */
  ended: string | null = null

  private constructor(child: ChildProcess, home: string, address: Address) {
    this.#child = child
    this.#home = home
    this.address = address
    this.#gone = once(child, 'exit').then(([code, signal]) => {
      this.ended = signal ?? `code ${code}`
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString()).slice(-4000)
      })
    }
  }

  /** `settings` are broker configs. */
  static async start(settings: Readonly<Record<string, string>> = {}): Promise<WatchedBroker> {
    const home = await mkdtemp(join(tmpdir(), 'sluice-fuzz-'))
    const sets = Object.entries(settings).flatMap(([name, value]) => ['--set', `${name}=${value}`])
    const entry = fileURLToPath(new URL('../../broker/main.ts', import.meta.url))
    const monitor = new URL('monitor.ts', import.meta.url).href
    const child = fork(entry, ['--data', join(home, 'data'), '--listen', '127.0.0.1:0', ...sets], {
      execArgv: ['--expose-gc', '--import=tsx', `--import=${monitor}`],
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    try {
      return new WatchedBroker(child, home, await whereItListens(child))
    } catch (error) {
      child.kill('SIGKILL')
      await rm(home, { recursive: true, force: true })
      throw error
    }
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  demandAlive(): void {
    if (this.ended !== null) throw new Error(`the broker's process ended by ${this.ended}: ${this.#output}`)
  }

  /** `collect`: after garbage was collected. */
  async vitals(collect: boolean): Promise<Vitals> {
    this.demandAlive()
    const answered = new Promise(resolve => this.#child.once('message', vitals => resolve([vitals])))
    this.#child.send({ collect })
    const answer = await Promise.race([answered, this.#gone])
    this.demandAlive()
    return (answer as [Vitals])[0]
  }

  async connect(): Promise<RawClient> {
    this.demandAlive()
    return new RawClient(await network.connect(this.address, 5000))
  }

  /** A clean stop; resolves to the exit code. */
  async stop(): Promise<number | null> {
    if (this.ended === null) {
      this.#child.kill('SIGTERM')
      await this.#gone
    }
    return this.#child.exitCode
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.ended === null) {
      this.#child.kill('SIGKILL')
      await this.#gone
    }
    await rm(this.#home, { recursive: true, force: true })
  }
}

async function whereItListens(child: ChildProcess): Promise<Address> {
  let printed = ''
  return new Promise((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error(`the broker does not start: ${printed}`)), START_MS)
    const read = (chunk: Buffer): void => {
      printed += chunk.toString()
      const port = /127\.0\.0\.1:(\d+)/.exec(printed)?.[1]
      if (port === undefined) return
      clearTimeout(deadline)
      child.stdout?.off('data', read)
      resolve({ host: '127.0.0.1', port: Number(port) })
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', (chunk: Buffer) => {
      printed += chunk.toString()
    })
    child.once('exit', code => reject(new Error(`the broker ended with ${code}: ${printed}`)))
  })
}

/** One request at a time, each in the version that is asked for. */
export class RawClient implements Receiver {
  readonly #socket: Socket
  readonly #room = Buffer.alloc(64 * 1024)
  #received: Buffer[] = []
  #receivedBytes = 0
  #correlationId = 0
  #waiting: { readonly resolve: (frame: Buffer) => void; readonly reject: (error: Error) => void } | null =
    null
  isClosed = false

  constructor(socket: Socket) {
    this.#socket = socket
    socket.start(this)
  }

  async request<Response, RequestInput>(
    api: Api<unknown, Response, RequestInput, unknown>,
    version: number,
    body: RequestInput,
  ): Promise<Response> {
    const { frame, correlationId } = await this.exchange(api, version, body)
    const reader = new Reader(frame)
    const answered = decodeResponseHeader(reader, api as Api, version)
    if (answered !== correlationId) throw new Violation('a healthy client got the answer to another request')
    return api.response.at(version).decode(reader)
  }

  /** The answer as it came, and what was sent for it. */
  async exchange<RequestInput>(
    api: Api<unknown, unknown, RequestInput, unknown>,
    version: number,
    body: RequestInput,
  ): Promise<{ readonly frame: Buffer; readonly correlationId: number; readonly requestBytes: number }> {
    const correlationId = this.#correlationId++
    const { chunks, byteLength } = encodeRequest(api, version, correlationId, 'healthy', body)
    let alarm: NodeJS.Timeout | undefined
    const frame = await new Promise<Buffer>((resolve, reject) => {
      this.#waiting = { resolve, reject }
      alarm = setTimeout(
        () => reject(new Violation(`a healthy client got no answer to ${api.name} within ${ANSWER_MS} ms`)),
        ANSWER_MS,
      )
      this.#socket.write(chunks, () => {})
    }).finally(() => clearTimeout(alarm))
    return { frame, correlationId, requestBytes: byteLength }
  }

  destroy(): void {
    this.#socket.destroy()
  }

  room(): Uint8Array {
    return this.#room
  }

  received(length: number): void {
    this.#received.push(Buffer.from(this.#room.subarray(0, length)))
    this.#receivedBytes += length
    if (this.#receivedBytes < 4) return
    if (this.#received[0]!.length < 4) this.#received = [Buffer.concat(this.#received)]
    if (this.#receivedBytes < 4 + this.#received[0]!.readInt32BE(0)) return
    const frame = Buffer.concat(this.#received).subarray(4)
    this.#received = []
    this.#receivedBytes = 0
    this.#waiting?.resolve(frame)
  }

  ended(): void {
    this.#socket.end()
  }

  closed(error: NetworkError | null): void {
    this.isClosed = true
    this.#waiting?.reject(
      new Violation(`the connection of a healthy client was closed: ${error?.code ?? 'in order'}`),
    )
  }
}
