/** Who may say that an offset is nowhere. */
import t from 'tap'
import { errorName } from '../../../client/protocol/errors.ts'
import { type BrokerId, type LeaderEpoch, type Offset } from '../../../client/protocol/types.ts'
import { host, type Life, produce, startLeader } from './harness.ts'

const NOBODY = -1 as BrokerId

/** As a consumer that a follower may serve. */
async function read(life: Life, offset: number, lastFetchedEpoch = -1): Promise<string> {
  const outcome = await host(life).read({
    offset: offset as Offset,
    maxBytes: 1000,
    isolation: 'read_uncommitted',
    currentLeaderEpoch: -1,
    lastFetchedEpoch,
    atLeastOne: true,
    allowFollower: true,
  })
  outcome.release()
  if (outcome.divergingEpoch !== null) return `diverges at ${outcome.divergingEpoch.endOffset}`
  return `${errorName(outcome.error)}, ${outcome.byteLength > 0 ? 'records' : 'nothing'}`
}

t.test('a leader says that an offset is out of range, or where the logs part', async t => {
  const life = await startLeader()
  await produce(host(life), ['a', 'b', 'c'])
  t.equal(await read(life, 1), 'NONE, records')
  t.equal(await read(life, 9), 'OFFSET_OUT_OF_RANGE, nothing')
  t.equal(await read(life, 9, 1), 'diverges at 3')
  t.equal(await read(life, 2, 5), 'OFFSET_OUT_OF_RANGE, nothing', 'of an epoch that nobody had')
  await life.stop()
})

t.test(
  'a follower does not: its log may be short, as after a crash, and the reader would believe it',
  async t => {
    const life = await startLeader()
    await produce(host(life), ['a', 'b', 'c'])
    host(life).follow({ epoch: 2 as LeaderEpoch, leader: NOBODY })
    t.equal(await read(life, 1), 'NONE, records')
    t.equal(await read(life, 3), 'NONE, nothing')
    t.equal(await read(life, 9), 'NOT_LEADER_OR_FOLLOWER, nothing')
    t.equal(await read(life, 9, 1), 'NOT_LEADER_OR_FOLLOWER, nothing')
    t.equal(await read(life, 2, 5), 'NOT_LEADER_OR_FOLLOWER, nothing')
    await life.stop()
  },
)
