import { createHash } from 'node:crypto'
import { type Socket as RawSocket, connect as rawConnect } from 'node:net'
import t, { type Test } from 'tap'
import { type Network, type NetworkError, type Receiver, type Socket } from '../../../broker/env.ts'
import { createNodeNetwork } from '../../../broker/env-node/network.ts'

const LOOPBACK = { host: '127.0.0.1', port: 0 }

/** Keeps what a socket says, and lets a test wait for it. */
class Recorder implements Receiver {
  readonly chunks: Buffer[] = []
  readonly rooms = new Set<Uint8Array>()
  byteLength = 0
  isEnded = false
  closings: (NetworkError | null)[] = []
  readonly #roomBytes: number
  #room: Buffer = Buffer.alloc(0)
  #waiting: { until: () => boolean; resolve: () => void }[] = []

  constructor(roomBytes = 1000) {
    this.#roomBytes = roomBytes
  }
  room(): Uint8Array {
    this.#room = Buffer.alloc(this.#roomBytes)
    this.rooms.add(this.#room)
    return this.#room
  }
  received(length: number): void {
    this.chunks.push(this.#room.subarray(0, length))
    this.byteLength += length
    this.#look()
  }
  ended(): void {
    this.isEnded = true
    this.#look()
  }
  closed(error: NetworkError | null): void {
    this.closings.push(error)
    this.#look()
  }
  get text(): string {
    return Buffer.concat(this.chunks).toString()
  }
  until(condition: () => boolean): Promise<void> {
    return new Promise(resolve => {
      this.#waiting.push({ until: condition, resolve })
      this.#look()
    })
  }
  #look(): void {
    this.#waiting = this.#waiting.filter(({ until, resolve }) => {
      if (!until()) return true
      resolve()
      return false
    })
  }
}

interface Pair {
  raw: RawSocket
  socket: Socket
}

async function pair(t: Test, network: Network): Promise<Pair> {
  let accepted: (socket: Socket) => void
  const socket = new Promise<Socket>(resolve => {
    accepted = resolve
  })
  const listener = await network.listen(LOOPBACK, socket => accepted(socket))
  const raw = rawConnect(listener.address.port, '127.0.0.1')
  t.teardown(() => {
    raw.destroy()
    return listener.close()
  })
  return { raw, socket: await socket }
}

for (const alwaysCopy of [false, true]) {
  t.test(alwaysCopy ? 'receiving by copy' : 'receiving in place', async t => {
    const network = createNodeNetwork({ alwaysCopy })

    t.test('received bytes land in the rooms, in order', async t => {
      const { raw, socket } = await pair(t, network)
      const recorder = new Recorder(1000)
      const sent = Buffer.alloc(300_000, 'abcdefghijklmnopqrstuvwxyz')
      raw.write('early bytes wait for the receiver')
      socket.start(recorder)
      await recorder.until(() => recorder.byteLength === 33)
      raw.end(sent)
      await recorder.until(() => recorder.isEnded)
      t.equal(recorder.text, `early bytes wait for the receiver${sent.toString()}`)
      t.ok(recorder.chunks.every(chunk => chunk.byteLength <= 1000))
      socket.end()
      await recorder.until(() => recorder.closings.length > 0)
      t.same(recorder.closings, [null])
    })

    t.test('nothing is received while paused', async t => {
      const { raw, socket } = await pair(t, network)
      const recorder = new Recorder(16)
      socket.start(recorder)
      raw.write('first')
      await recorder.until(() => recorder.byteLength === 5)
      socket.pause()
      const flushed = new Promise<void>(resolve => raw.write('second', () => resolve()))
      await flushed
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
      t.equal(recorder.text, 'first')
      socket.resume()
      await recorder.until(() => recorder.byteLength === 11)
      t.equal(recorder.text, 'firstsecond')
      socket.destroy()
    })

    t.test('chunks are sent in order, and done is called once for each write', async t => {
      const { raw, socket } = await pair(t, network)
      socket.start(new Recorder())
      const hash = createHash('sha256')
      const expected = createHash('sha256')
      let received = 0
      const done: number[] = []
      const total = 200 * 3 * 5000
      const all = new Promise<void>(resolve =>
        raw.on('data', chunk => {
          hash.update(chunk)
          if ((received += chunk.byteLength) === total) resolve()
        }),
      )
      for (let index = 0; index < 200; index++) {
        const chunks = [0, 1, 2].map(part => Buffer.alloc(5000, index + part))
        for (const chunk of chunks) expected.update(chunk)
        socket.write(chunks, error => done.push(error === null ? index : -1))
      }
      t.ok(socket.pendingBytes <= total)
      await all
      await new Promise(setImmediate)
      t.equal(hash.digest('hex'), expected.digest('hex'))
      t.same(
        done,
        Array.from({ length: 200 }, (_, index) => index),
      )
      t.equal(socket.pendingBytes, 0)
      socket.destroy()
    })

    t.test('destroy ends what is pending with an error, then says closed', async t => {
      const { raw, socket } = await pair(t, network)
      raw.pause()
      const recorder = new Recorder()
      socket.start(recorder)
      const outcomes: (string | null)[] = []
      for (let index = 0; index < 3; index++) {
        socket.write([Buffer.alloc(20 * 1024 * 1024)], error => {
          t.equal(recorder.closings.length, 0, 'writes end before the connection does')
          outcomes.push(error === null ? null : error.name)
        })
      }
      socket.destroy()
      await recorder.until(() => recorder.closings.length > 0)
      t.same(outcomes, ['NetworkError', 'NetworkError', 'NetworkError'])
      t.equal(socket.pendingBytes, 0)
      socket.write([Buffer.from('late')], error => outcomes.push(error?.name ?? null))
      await new Promise(setImmediate)
      t.equal(outcomes.length, 4)
      t.equal(outcomes[3], 'NetworkError')
    })

    t.test('a reset is reported with its code, once', async t => {
      const { raw, socket } = await pair(t, network)
      const recorder = new Recorder()
      socket.start(recorder)
      raw.write('x')
      await recorder.until(() => recorder.byteLength === 1)
      raw.resetAndDestroy()
      await recorder.until(() => recorder.closings.length > 0)
      t.match(recorder.closings, [{ code: 'ECONNRESET' }])
    })

    t.test('a receiver may destroy the socket while it is being given bytes', async t => {
      const { raw, socket } = await pair(t, network)
      const recorder = new Recorder()
      const received = recorder.received.bind(recorder)
      recorder.received = length => {
        received(length)
        socket.destroy()
      }
      socket.start(recorder)
      raw.on('error', () => {})
      raw.write('goodbye')
      await recorder.until(() => recorder.closings.length > 0)
      t.equal(recorder.text, 'goodbye')
    })

    t.test('after the peer has ended, answers still leave', async t => {
      const { raw, socket } = await pair(t, network)
      const recorder = new Recorder()
      socket.start(recorder)
      let answer = ''
      raw.on('data', chunk => {
        answer += chunk.toString()
      })
      const closed = new Promise(resolve => raw.on('close', resolve))
      raw.end('question')
      await recorder.until(() => recorder.isEnded)
      socket.write([Buffer.from('ans'), Buffer.from('wer')], () => {})
      socket.end()
      await closed
      t.equal(answer, 'answer')
    })

    t.test('connect reaches a listener and tells why it cannot', async t => {
      const accepted: Socket[] = []
      const listener = await network.listen(LOOPBACK, socket => {
        accepted.push(socket)
        socket.start(new Recorder())
        socket.write([Buffer.from('welcome')], () => {})
      })
      const socket = await network.connect(listener.address, 5000)
      t.equal(socket.remote.port, listener.address.port)
      const recorder = new Recorder()
      socket.start(recorder)
      await recorder.until(() => recorder.byteLength === 7)
      t.equal(recorder.text, 'welcome')
      for (const one of [socket, ...accepted]) one.destroy()
      await recorder.until(() => recorder.closings.length > 0)
      await listener.close()
      await t.rejects(network.connect(listener.address, 5000), { name: 'NetworkError', code: 'ECONNREFUSED' })
    })
  })
}

t.test('a port in use is refused in plain words', async t => {
  const network = createNodeNetwork()
  const listener = await network.listen(LOOPBACK, () => {})
  await t.rejects(
    network.listen(listener.address, () => {}),
    {
      code: 'EADDRINUSE',
      message: /another process uses this port/,
    },
  )
  await listener.close()
  const again = await network.listen(listener.address, () => {})
  await again.close()
})
