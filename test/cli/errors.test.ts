import t from 'tap'
import { CliError, renderError, toCliError } from '../../cli/errors.ts'
import { AbortError, KafkaError } from '../../client/errors.ts'

const BROKERS = '127.0.0.1:9092'

t.test('every kind of failure has its exit code', t => {
  const code = (error: unknown): number | undefined => toCliError(error, BROKERS)?.exitCode
  const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
  t.equal(code(new KafkaError({ code: 'CONNECTION_FAILED', message: 'm', cause: refused })), 3)
  t.equal(code(new KafkaError({ code: 'TIMEOUT', message: 'm', cause: refused })), 3, 'it never connected')
  t.equal(code(new KafkaError({ code: 'SASL_AUTHENTICATION_FAILED', message: 'm' })), 3)
  t.equal(code(new KafkaError({ code: 'TIMEOUT', message: 'm' })), 124)
  t.equal(code(new AbortError('m')), 130)
  t.equal(code(new KafkaError({ code: 'INVALID_OPTION', message: 'm' })), 2)
  t.equal(code(new KafkaError({ code: 'INVALID_CONFIG', message: 'm' })), 1)
  t.equal(code(Object.assign(new Error('m'), { code: 'ENOENT', path: '/x' })), 1)
  t.equal(toCliError(new TypeError('bug'), BROKERS), null, 'a bug keeps its stack')
  t.end()
})

t.test('a broker that is not there is told with the address, the reason and how to start one', t => {
  const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
  const error = toCliError(
    new KafkaError({ code: 'CONNECTION_FAILED', message: 'm', cause: refused }),
    BROKERS,
  )
  const text = renderError(error!, each => each)
  t.match(text, /^error: No broker can be reached at 127\.0\.0\.1:9092 \(ECONNREFUSED\)\.\n/)
  t.match(text, /sluice dev/)
  t.match(text, /sluice broker start/)
  t.end()
})

t.test('what failed in part is listed item by item', t => {
  const errors = [new KafkaError({ code: 'INVALID_TOPIC_EXCEPTION', message: 'bad name', topic: 'a/b' })]
  const error = toCliError(new KafkaError({ code: 'PARTIAL_FAILURE', message: 'm', errors }), BROKERS)
  t.match(error, { exitCode: 1, means: /topic a\/b: bad name/ })
  t.end()
})

t.test('the parts of a message stand below each other', t => {
  const error = new CliError({ what: 'What.', means: 'Means.\nMore.', advice: ['Do this.'] })
  t.equal(
    renderError(error, each => each),
    'error: What.\n  Means.\n  More.\n\n  Do this.\n',
  )
  t.end()
})
