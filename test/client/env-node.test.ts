/**
 * The real environment: TLS, and bytes in any pieces.
 */
import { connect } from 'node:net'
import { createServer } from 'node:tls'
import t from 'tap'
import { startBroker } from '../../broker/testing.ts'
import { Kafka } from '../../client/index.ts'

// Of localhost, made for this test and good for nothing else.
const KEY = `
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgRYgBP1bEfAfE8dgx
ZTyjrqlB+XFRzcBVB21cCpOu582hRANCAASFlcf3CR8jAQIFKrb5lFYNqJNEnThZ
RpUt+TeHXafGXIZWF9RvUL0sKgs/ebkgdqQaT5VY1jFnu8kN9q2t0gBu
-----END PRIVATE KEY-----
`
const CERTIFICATE = `
-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgIUFVVJGeq5L3XsgO5nmLPnt8lqfZAwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTAzMzg1OVoYDzIxMjYxMDI4
MDMzODU5WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASFlcf3CR8jAQIFKrb5lFYNqJNEnThZRpUt+TeHXafGXIZWF9RvUL0s
Kgs/ebkgdqQaT5VY1jFnu8kN9q2t0gBuo28wbTAdBgNVHQ4EFgQU2vT1ZCuxL3pq
oesmJcxfK2HFwDkwHwYDVR0jBBgwFoAU2vT1ZCuxL3pqoesmJcxfK2HFwDkwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDRwAwRAIgFFN+rtDdEp4qTC38IEOByIWDn2LtJs8M/QMnmx4OqCACIGRe
2CrQpotHEDaSG3AdzxK3rLCkRr/9KngVyMcrgK5Y
-----END CERTIFICATE-----
`

t.test('a broker behind TLS is reached with its certificate, and only so', async t => {
  const ends = new Set<{ destroy(): void }>()
  const server = createServer({ key: KEY, cert: CERTIFICATE }, secured => {
    const plain = connect(broker.port, '127.0.0.1')
    for (const end of [secured, plain]) {
      ends.add(end)
      end.on('error', () => {})
    }
    secured.pipe(plain).pipe(secured)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const brokers = `127.0.0.1:${(server.address() as { port: number }).port}`
  const broker = await startBroker({
    topics: { secure: 1 },
    configs: { 'advertised.listeners': `PLAINTEXT://${brokers}` },
  })
  t.teardown(async () => {
    for (const end of ends) end.destroy()
    server.close()
    await broker[Symbol.asyncDispose]()
  })

  await using kafka = new Kafka({ brokers, ssl: { ca: CERTIFICATE } })
  await using producer = kafka.producer()
  // Larger than a record of TLS, and than the client's reads.
  const values = Array.from({ length: 50 }, (_, index) => Buffer.alloc(index * 5000, index))
  await producer.send({ topic: 'secure', messages: values.map(value => ({ value })) })
  await using consumer = kafka.consumer()
  await consumer.subscribe({ topics: ['secure'], from: 'earliest' })
  const read: Buffer[] = []
  for await (const { value } of consumer.messages()) if (read.push(value!) === values.length) break
  t.ok(Buffer.concat(read).equals(Buffer.concat(values)))

  await using careful = new Kafka({ brokers, ssl: true })
  await t.rejects(careful.admin().listTopics(), {
    code: 'CONNECTION_FAILED',
    retriable: false,
    message: /self-signed certificate/,
  })
  await using plain = new Kafka({ brokers, retry: { maxRetries: 0 } })
  await t.rejects(plain.admin().listTopics(), { code: 'CONNECTION_FAILED', message: /set ssl/ })
})
