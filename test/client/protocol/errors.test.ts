import t from 'tap'
import { ErrorCode, errorMessage, errorName, isRetriable } from '../../../client/protocol/errors.ts'

t.test('codes have Kafka’s names', async t => {
  t.equal(ErrorCode.NOT_LEADER_OR_FOLLOWER, 6)
  t.equal(errorName(6), 'NOT_LEADER_OR_FOLLOWER')
  t.equal(errorName(0), 'NONE')
  t.equal(errorName(-1), 'UNKNOWN_SERVER_ERROR')
  t.equal(errorName(999), 'ERROR_999')
})

t.test('no two names share a code, and no code is left out', async t => {
  const codes = Object.values(ErrorCode).toSorted((a, b) => a - b)
  t.same(
    codes,
    Array.from({ length: codes.length }, (_, index) => index - 1),
  )
})

t.test('every code says what it means, as a sentence', async t => {
  for (const code of Object.values(ErrorCode)) t.match(errorMessage(code), /^[A-Z].*\.$/, errorName(code))
  t.match(errorMessage(999), /999/)
})

t.test('what may go away by itself is retriable', async t => {
  for (const code of [
    ErrorCode.NOT_LEADER_OR_FOLLOWER,
    ErrorCode.REQUEST_TIMED_OUT,
    ErrorCode.UNKNOWN_TOPIC_ID,
  ]) {
    t.ok(isRetriable(code), errorName(code))
  }
  for (const code of [ErrorCode.NONE, ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.PRODUCER_FENCED, 999]) {
    t.notOk(isRetriable(code), errorName(code))
  }
})
