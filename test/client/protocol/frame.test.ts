import t from 'tap'
import { API } from '../../../client/protocol/apis.ts'
import { MalformedError } from '../../../client/protocol/errors.ts'
import {
  decodeRequestHeader,
  decodeResponseHeader,
  encodeRequest,
  encodeResponse,
  frameLength,
} from '../../../client/protocol/frame.ts'
import { Reader } from '../../../client/protocol/reader.ts'

const MIB = 1024 * 1024

function over(hex: string): Reader {
  return new Reader(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
}

t.test('the length of a frame is known once its size field is complete', async t => {
  const bytes = Buffer.from('ff0000000301020300000000', 'hex')
  t.equal(frameLength(bytes, 1, 1, MIB), 0)
  t.equal(frameLength(bytes, 1, 4, MIB), 0, 'three bytes of the size')
  t.equal(frameLength(bytes, 1, 5, MIB), 7, 'the size alone')
  t.equal(frameLength(bytes, 1, 12, MIB), 7)
  t.equal(frameLength(bytes, 8, 12, MIB), 4, 'an empty frame')
})

t.test('sizes that cannot be are malformed', async t => {
  t.throws(() => frameLength(Buffer.from('ffffffff', 'hex'), 0, 4, MIB), MalformedError)
  t.throws(() => frameLength(Buffer.from('00100001', 'hex'), 0, 4, MIB), MalformedError)
  t.equal(frameLength(Buffer.from('00100000', 'hex'), 0, 4, MIB), MIB + 4)
  t.throws(() => frameLength(Buffer.from('GET / HTTP/1.1'), 0, 14, MIB), MalformedError)
})

t.test('a request header has tagged fields in flexible versions, and a 16-bit client id in all', async t => {
  const old = over('0012 0000 00000007 0001 63')
  t.same(decodeRequestHeader(old), { apiKey: 18, apiVersion: 0, correlationId: 7, clientId: 'c' })
  old.finish()
  const flexible = over('0012 0003 00000007 0001 63 01 05 01 aa')
  t.same(decodeRequestHeader(flexible), { apiKey: 18, apiVersion: 3, correlationId: 7, clientId: 'c' })
  flexible.finish()
  t.equal(decodeRequestHeader(over('0003 0009 00000001 ffff 00')).clientId, null)
})

t.test('of a request that is not known, key, version and correlation id are read', async t => {
  const unknownVersion = over('0012 0063 00000007 dead')
  t.same(decodeRequestHeader(unknownVersion), {
    apiKey: 18,
    apiVersion: 99,
    correlationId: 7,
    clientId: null,
  })
  t.equal(unknownVersion.remaining, 2)
  t.equal(decodeRequestHeader(over('7fff 0000 00000001')).apiKey, 32767)
  t.equal(decodeRequestHeader(over('ffff ffff 00000001')).apiKey, -1)
  t.throws(() => decodeRequestHeader(over('0012 00')), MalformedError)
})

t.test('a whole request', async t => {
  const v0 = encodeRequest(API.ApiVersions, 0, 5, 'me', {})
  t.equal(Buffer.concat(v0.chunks).toString('hex'), '0000000c'.concat('00120000', '00000005', '0002', '6d65'))
  const software = { clientSoftwareName: 's', clientSoftwareVersion: '1' }
  const v3 = encodeRequest(API.ApiVersions, 3, 5, null, software)
  t.equal(
    Buffer.concat(v3.chunks).toString('hex'),
    '00000010'.concat('00120003', '00000005', 'ffff', '00', '0273', '0231', '00'),
  )
  t.equal(v3.byteLength, 20)
})

t.test('a whole response, with records by reference', async t => {
  const records = Buffer.alloc(4096, 7)
  const partitions = [
    { partitionIndex: 0, errorCode: 0, highWatermark: 1, abortedTransactions: null, records: [records] },
  ]
  const { chunks, byteLength } = encodeResponse(API.Fetch, 12, 9, { responses: [{ topic: 't', partitions }] })
  t.equal(chunks[1], records, 'the very slice')
  t.equal(byteLength, Buffer.concat(chunks).length)
  t.equal(chunks[0] && Buffer.from(chunks[0]).readInt32BE(0), byteLength - 4)
})

t.test('response headers are flexible with their messages, but never that of ApiVersions', async t => {
  const response = Buffer.concat(encodeResponse(API.Heartbeat, 4, 3, { errorCode: 0 }).chunks)
  t.equal(response.toString('hex'), '0000000c'.concat('00000003', '00', '00000000', '0000', '00'))
  t.equal(decodeResponseHeader(new Reader(response, 4), API.Heartbeat, 4), 3)
  const versions = Buffer.concat(encodeResponse(API.ApiVersions, 3, 3, { errorCode: 0, apiKeys: [] }).chunks)
  t.equal(versions.toString('hex'), '0000000c'.concat('00000003', '0000', '01', '00000000', '00'))
  t.equal(API.SaslHandshake.requestHeaderVersion(1), 1)
  t.equal(API.OffsetDelete.responseHeaderVersion(0), 0)
})
