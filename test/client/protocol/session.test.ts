import fc from 'fast-check'
import t from 'tap'
import { API, APIS } from '../../../client/protocol/apis.ts'
import { ErrorCode, MalformedError, UnsupportedVersionError } from '../../../client/protocol/errors.ts'
import { decodeRequestHeader, encodeResponse } from '../../../client/protocol/frame.ts'
import { Reader } from '../../../client/protocol/reader.ts'
import { type Reply, Session, type SessionOptions } from '../../../client/protocol/session.ts'

const OPTIONS: SessionOptions = { clientId: 'test', softwareName: 'sluice', softwareVersion: '1.0' }
const SERVED = APIS.map(({ key, minVersion, maxVersion }) => ({ apiKey: key, minVersion, maxVersion }))

/** A reply that remembers what became of it. */
function reply<Response>(): Reply<Response> & { response: Response | null; error: Error | null } {
  return {
    response: null,
    error: null,
    resolve(response) {
      this.response = response
    },
    reject(error) {
      this.error = error
    },
  }
}

/** The headers of the requests that are in the output. */
function sent(session: Session): { apiKey: number; apiVersion: number; correlationId: number }[] {
  const bytes = Buffer.concat(session.takeOutput())
  const headers = []
  for (let start = 0; start < bytes.length; start += 4 + bytes.readInt32BE(start)) {
    headers.push(decodeRequestHeader(new Reader(bytes, start + 4, start + 4 + bytes.readInt32BE(start))))
  }
  return headers
}

function versionsResponse(
  version: number,
  correlationId: number,
  apiKeys = SERVED,
  errorCode: number = ErrorCode.NONE,
) {
  return Buffer.concat(encodeResponse(API.ApiVersions, version, correlationId, { errorCode, apiKeys }).chunks)
}

function readySession(apiKeys = SERVED, options: Partial<SessionOptions> = {}): Session {
  const session = new Session({ ...OPTIONS, ...options })
  session.handshake(reply())
  const [request] = sent(session)
  session.receive(versionsResponse(request?.apiVersion ?? 0, 0, apiKeys))
  return session
}

function heartbeat(correlationId: number, errorCode: number): Buffer {
  return Buffer.concat(encodeResponse(API.Heartbeat, 4, correlationId, { errorCode }).chunks)
}

const HEARTBEAT = { groupId: 'g', generationId: 1, memberId: 'm' }

t.test('a session opens with the newest ApiVersions', async t => {
  const session = new Session(OPTIONS)
  const answer = reply()
  session.handshake(answer)
  t.equal(session.state, 'handshake')
  t.match(sent(session), [{ apiKey: 18, apiVersion: API.ApiVersions.maxVersion, correlationId: 0 }])
  session.receive(versionsResponse(API.ApiVersions.maxVersion, 0))
  t.equal(session.state, 'ready')
  t.same(session.brokerVersions.get(1), { min: 4, max: 18 })
  t.match(answer.response, { errorCode: 0 })
})

t.test('a broker that does not know the version is asked again in the one it names', async t => {
  const session = new Session(OPTIONS)
  session.handshake(reply())
  sent(session)
  const theirs = [{ apiKey: 18, minVersion: 0, maxVersion: 2 }]
  session.receive(versionsResponse(0, 0, theirs, ErrorCode.UNSUPPORTED_VERSION))
  t.match(sent(session), [{ apiKey: 18, apiVersion: 2, correlationId: 1 }])
  session.receive(versionsResponse(2, 1, theirs))
  t.equal(session.state, 'ready')
})

t.test('a broker that names no range is asked in version 0, and then no more', async t => {
  const session = new Session(OPTIONS)
  const answer = reply()
  session.handshake(answer)
  sent(session)
  session.receive(versionsResponse(0, 0, [], ErrorCode.UNSUPPORTED_VERSION))
  t.match(sent(session), [{ apiVersion: 0 }])
  session.receive(versionsResponse(0, 1, [], ErrorCode.UNSUPPORTED_VERSION))
  t.match(answer.error, { name: 'HandshakeError', code: ErrorCode.UNSUPPORTED_VERSION })
  t.equal(session.state, 'failed')
})

t.test('the version is the highest that both sides have, and the user allows', async t => {
  const served = [{ apiKey: API.Produce.key, minVersion: 3, maxVersion: 10 }]
  t.equal(readySession(served).versionOf(API.Produce), 10)
  t.equal(readySession(served, { maxVersions: { Produce: 7 } }).versionOf(API.Produce), 7)
  t.equal(readySession(served).versionOf(API.Produce, { max: 4 }), 4)
  t.equal(
    readySession([{ apiKey: 0, minVersion: 3, maxVersion: 99 }]).versionOf(API.Produce),
    API.Produce.maxVersion,
  )
})

t.test('where there is no common version, both ranges are named', async t => {
  const session = readySession([{ apiKey: 1, minVersion: 19, maxVersion: 20 }])
  t.throws(() => session.versionOf(API.Fetch), /use 4 to 18 here, the broker serves 19 to 20/)
  t.throws(() => session.versionOf(API.Fetch), UnsupportedVersionError)
  t.throws(() => session.versionOf(API.Produce), /does not serve Produce/)
  const pinned = readySession([{ apiKey: 1, minVersion: 12, maxVersion: 18 }], { maxVersions: { Fetch: 11 } })
  t.throws(() => pinned.versionOf(API.Fetch), UnsupportedVersionError)
})

t.test('answers reach their requests in order, however the bytes are cut', async () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 100 }), { maxLength: 60 }), fc.nat({ max: 8 }), (cuts, requests) => {
      const session = readySession()
      const answers = Array.from({ length: requests }, () => reply<{ errorCode: number }>())
      for (const answer of answers) session.send(API.Heartbeat, 4, HEARTBEAT, answer)
      const bytes = Buffer.concat(
        sent(session).map(({ correlationId }, index) => heartbeat(correlationId, index)),
      )
      let start = 0
      for (const length of cuts) {
        session.receive(bytes.subarray(start, start + length))
        start = Math.min(start + length, bytes.length)
      }
      session.receive(bytes.subarray(start))
      answers.forEach((answer, index) => {
        if (answer.response?.errorCode !== index) throw new Error(`answer ${index}`)
      })
      if (session.inFlight !== 0) throw new Error('in flight')
    }),
  )
})

t.test('byte by byte is as good as at once', async t => {
  const session = readySession()
  const answer = reply()
  session.send(API.Heartbeat, 4, HEARTBEAT, answer)
  for (const byte of heartbeat(1, 27)) session.receive(Buffer.from([byte]))
  t.match(answer.response, { errorCode: 27 })
})

t.test('records of a response that came in one piece are slices of it', async t => {
  const session = readySession()
  const answer = reply<{ responses: { partitions: { records: Uint8Array | null }[] }[] }>()
  session.send(API.Fetch, 12, { maxWaitMs: 0, minBytes: 0, topics: [] }, answer)
  const partition = { partitionIndex: 0, errorCode: 0, highWatermark: 1, abortedTransactions: null }
  const records = Buffer.alloc(2000, 5)
  const responses = [{ topic: 't', partitions: [{ ...partition, records }] }]
  const bytes = Buffer.concat(encodeResponse(API.Fetch, 12, 1, { responses }).chunks)
  session.receive(bytes)
  t.equal(answer.response?.responses[0]?.partitions[0]?.records?.buffer, bytes.buffer)
})

t.test('a request without an answer is not waited for', async t => {
  const session = readySession()
  session.send(API.Produce, 9, { acks: 0, timeoutMs: 1, topicData: [] }, null)
  t.equal(session.inFlight, 0)
  const answer = reply()
  session.send(API.Heartbeat, 4, HEARTBEAT, answer)
  session.receive(heartbeat(2, 0))
  t.match(answer.response, { errorCode: 0 })
})

t.test('an answer that nobody asked for, or out of order, ends the session and all that waits', async t => {
  const idle = readySession()
  t.throws(() => idle.receive(heartbeat(1, 0)), MalformedError)
  const session = readySession()
  const [first, second] = [reply(), reply()]
  session.send(API.Heartbeat, 4, HEARTBEAT, first)
  session.send(API.Heartbeat, 4, HEARTBEAT, second)
  t.throws(() => session.receive(heartbeat(2, 0)), MalformedError)
  t.type(first.error, MalformedError)
  t.type(second.error, MalformedError)
  t.equal(session.state, 'failed')
})

t.test('bytes that make no sense end the session', async t => {
  for (const bytes of [
    Buffer.from('HTTP/1.1 400 Bad Request'),
    Buffer.alloc(8, 0xff),
    Buffer.from([0, 0, 0, 1, 0]),
  ]) {
    const session = readySession()
    const answer = reply()
    session.send(API.Heartbeat, 4, HEARTBEAT, answer)
    t.throws(() => session.receive(bytes), MalformedError)
    t.type(answer.error, MalformedError)
  }
})

t.test('when the connection is lost, whatever waits is told why', async t => {
  const session = readySession()
  const answer = reply()
  session.send(API.Heartbeat, 4, HEARTBEAT, answer)
  const lost = new Error('connection reset')
  session.fail(lost)
  session.fail(new Error('again'))
  t.equal(answer.error, lost)
  t.same(session.takeOutput(), [])
  session.receive(heartbeat(1, 0))
  t.equal(answer.response, null)
})

t.test('a request that cannot be encoded leaves the session as it was', async t => {
  const session = readySession()
  t.throws(() => session.send(API.Heartbeat, 4, { ...HEARTBEAT, generationId: 2 ** 40 }, reply()))
  t.equal(session.inFlight, 0)
  t.same(session.takeOutput(), [])
})
