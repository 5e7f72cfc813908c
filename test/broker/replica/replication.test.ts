/** Transcripts of replicas that replicate: leaders that count, followers that follow, and what neither may do. */
import { story } from './script.ts'

story(
  'the high watermark waits for every in-sync replica, and for those proposed',
  `
  > become-leader 4 replicas=1,2,3 isr=1,2
    save-epochs
    wake
  > produce a
    append 0..0 epoch 4
    timer 30000
  > written 1
    sync
  > synced 1
  # Not in sync, and not asked to be: what it has does not count.
  > fetched 3 1 fenced
  > fetched 2 1
    reply a offset 0
    wake
  > fetched 3 1
    propose 1/-1,2/0,3/0 under 1
  > produce b
    append 1..1 epoch 4
  > written 2
    sync
  > synced 2
  > fetched 2 2
  > fetched 3 2
    reply b offset 1
    wake
  > become-leader 4 isr=1,2,3
    wake
  > produce c
    append 2..2 epoch 4
  > written 3
    sync
  > synced 3
  > fetched 2 3
  > fetched 3 3
    reply c offset 2
    wake
  `,
)

story(
  'a proposal that is refused binds nobody any more, and another one may be made',
  `
  > become-leader 1 replicas=1,2,3 isr=1,2
    save-epochs
    wake
  > fetched 3 0
    propose 1/-1,2/-1,3/0 under 1
  > produce a
    append 0..0 epoch 1
    timer 30000
  > written 1
    sync
  > synced 1
  > fetched 2 1
  > isr-refused 7
  > isr-refused 1
    reply a offset 0
    wake
  > fetched 3 1
    propose 1/-1,2/0,3/0 under 1
  # While one is under way there is no other.
  > fetched 3 1
  > become-leader 1
    wake
  > fetched 3 1
    propose 1/-1,2/0,3/0 under 2
  `,
)

story(
  'who joins has all that is committed, and all that a leader before may have committed',
  `
  > become-leader 1 replicas=1,2,3 isr=1
    save-epochs
    wake
  > produce a records=5
    append 0..4 epoch 1
    timer 30000
  > written 5
    sync
  > synced 5
    reply a offset 0
    wake
  > fetched 2 4
  > fetched 2 5
    propose 1/-1,2/0 under 1
  > become-leader 1 isr=1,2
    wake
  > produce b records=5
    append 5..9 epoch 1
  > written 10
    sync
  > synced 10
  # The high watermark is 5, but the epoch begins at 10: from 5 to 10 nobody knows yet what was committed.
  > become-leader 2 replicas=1,2,3 isr=1,2
    save-epochs
    wake
  > fetched 3 5
  > fetched 3 9
  > fetched 3 10
    propose 1/-1,2/-1,3/0 under 3
  `,
)

story(
  'while others could be elected without what is committed now nothing is, whatever the limit is here',
  `
  > become-leader 1 replicas=1,2,3 isr=1,2 elr=3
    save-epochs
    wake
  > produce a
    reply a NOT_ENOUGH_REPLICAS
  > produce b acks=1
    append 0..0 epoch 1
    timer 30000
  > written 1
    reply b offset 0
    sync
  > synced 1
  > fetched 2 1
  ?
    start 0 stable 0 high 0 durable 1 written 1 end 1
  > become-leader 1 isr=1,2
    wake
    wake
  ?
    start 0 stable 1 high 1 durable 1 written 1 end 1
  `,
  { config: { minInsyncReplicas: 2 } },
)

story(
  'below min.insync.replicas acks=all is refused and nothing is committed',
  `
  > become-leader 1 replicas=1,2 isr=1,2
    save-epochs
    wake
  > produce a
    append 0..0 epoch 1
    timer 30000
  > written 1
    sync
  > synced 1
  > become-leader 1 isr=1
    wake
  > produce b
    reply b NOT_ENOUGH_REPLICAS
  > produce c acks=1
    append 1..1 epoch 1
  > written 2
    reply c offset 1
    sync
  > synced 2
  ?
    start 0 stable 0 high 0 durable 2 written 2 end 2
  > fetched 2 2
    propose 1/-1,2/0 under 2
  > become-leader 1 isr=1,2
    wake
    reply a offset 0
    wake
  `,
  { config: { minInsyncReplicas: 2 } },
)

story(
  'who had everything, however long silent, has the time to fetch what is written then',
  `
  > become-leader 1 replicas=1,2 isr=1,2
    save-epochs
    wake
    timer 500
  > fetched 2 0
  > wait 5000
  > produce a acks=1
    append 0..0 epoch 1
  > written 1
    reply a offset 0
    sync
  > tick
    timer 5500
  > wait 1001
  > tick
    propose 1/-1 under 1
    timer 6501
  `,
  { lagTimeMaxMs: 1000 },
)

story(
  'who has not been caught up for replica.lag.time.max.ms is to leave',
  `
  > become-leader 1 replicas=1,2,3 isr=1,2,3
    save-epochs
    wake
    timer 500
  > produce a acks=1
    append 0..0 epoch 1
  > written 1
    reply a offset 0
    sync
  > synced 1
  > wait 500
  > tick
    timer 1000
  > fetched 2 1
  # It has what there was when it fetched before, and with that was caught up then.
  > produce b acks=1
    append 1..1 epoch 1
  > written 2
    reply b offset 1
    sync
  > synced 2
  > wait 501
  > fetched 2 1
  > tick
    propose 1/-1,2/0 under 1
    timer 1501
  > wait 600
  > fetched 2 2
  > tick
    timer 2101
  `,
  { lagTimeMaxMs: 1000 },
)

story(
  'who has everything stays in sync, however silent',
  `
  > become-leader 1 replicas=1,2 isr=1,2
    save-epochs
    wake
    timer 500
  > wait 5000
  > tick
    timer 5500
  `,
  { lagTimeMaxMs: 1000 },
)

story(
  'a new epoch forgets what followers had',
  `
  > become-leader 1 replicas=1,2 isr=1,2
    save-epochs
    wake
  > produce a acks=1
    append 0..0 epoch 1
    timer 30000
  > written 1
    reply a offset 0
    sync
  > synced 1
  > fetched 2 1
    wake
  > produce b acks=1
    append 1..1 epoch 1
  > written 2
    reply b offset 1
    sync
  > synced 2
  > become-leader 2
    save-epochs
    wake
  ?
    start 0 stable 1 high 1 durable 2 written 2 end 2
  > fetched 2 2
    wake
  `,
)

story(
  'a replica that was taken away and brought back, both unseen, has nothing until it fetches again',
  `
  > become-leader 1 replicas=1,2,3 isr=1,2,3
    save-epochs
    wake
  > produce a
    append 0..0 epoch 1
    timer 30000
  > written 1
    sync
  > fetched 2 1
  > fetched 3 1
  > become-leader 1 missed=1
    wake
  > synced 1
  > fetched 2 1
  > fetched 3 0
  ?
    start 0 stable 0 high 0 durable 1 written 1 end 1
  > fetched 3 1
    reply a offset 0
    wake
  `,
)

story(
  'the process that a follower was before says nothing any more',
  `
  > become-leader 1 replicas=1,2 isr=1
    save-epochs
    wake
  > fetched 2 0 process=8
    propose 1/-1,2/8 under 1
  > become-leader 1
    wake
  > fetched 2 0 process=7
  > fetched 2 0 process=9
    propose 1/-1,2/9 under 2
  `,
)

story(
  'what is older than what is known is ignored, and what is known already changes nothing',
  `
  > become-leader 4 replicas=1,2 isr=1,2
    save-epochs
    wake
  > become-leader 3 replicas=1,2 isr=1
  > become-follower 3
  > become-leader 4 isr=1 revision=1
  > become-follower 5
    wake
  > become-follower 5
  > become-leader 4 replicas=1,2 isr=1,2
  > replicate 4 0
  > replicate 5 0
    append 0..0 epoch 5
  `,
)

story(
  'a follower appends what its leader has, and believes it what is committed as far as it has that on disk',
  `
  > become-follower 3
    wake
  > replicate 3 0 records=5 of=1 high=3
    append 0..4 epoch 1
  > replicate 3 5 records=2 high=6
    append 5..6 epoch 3
  ?
    start 0 stable 0 high 0 durable 0 written 0 end 7
  > written 7
    sync
  > synced 7
    wake
    wake
  ?
    start 0 stable 6 high 6 durable 7 written 7 end 7
  # Never back; the start of the leader's log is taken over as far as it is committed.
  > replicate 3 7 records=0 high=5 start=2
    start-moved 2
    save-epochs
    wake
    wake
  > replicate 3 7 records=0 high=6 start=7
    start-moved 6
    save-epochs
    wake
    wake
  ?
    start 6 stable 6 high 6 durable 7 written 7 end 7
  > produce a
    reply a NOT_LEADER_OR_FOLLOWER
  `,
)

story(
  'who waits for a commit when another broker leads is told so',
  `
  > become-leader 1 replicas=1,2 isr=1,2
    save-epochs
    wake
  > produce a
    append 0..0 epoch 1
    timer 30000
  > written 1
    sync
  > become-follower 2
    reply a NOT_LEADER_OR_FOLLOWER
    wake
  # The fetches of followers are those of another life.
  > fetched 2 1
  > synced 1
    wake
  ?
    start 0 stable 0 high 0 durable 1 written 1 end 1
  `,
)

story(
  'a follower whose disk takes nothing is where it was, its producers too',
  `
  > become-follower 1
    wake
  > replicate 1 0 pid=7 seq=0
    append 0..0 epoch 1
  > written 1
    sync
  > synced 1
    wake
  > replicate 1 1 pid=7 seq=1
    append 1..1 epoch 1
  > write-failed 1
  > replicate 1 1 pid=7 seq=1 high=2
    append 1..1 epoch 1
    wake
  > written 2
    sync
  > synced 2
    wake
    wake
  > become-leader 2
    save-epochs
    wake
  > produce retry pid=7 seq=1
    reply retry offset 1
  `,
)

story(
  'a log that was cut ends there, and what is committed stays',
  `
  > become-follower 3
    wake
  > replicate 3 0 records=5 of=1 high=3
    append 0..4 epoch 1
  > written 5
    sync
  > synced 5
    wake
    wake
  > truncated 4
    save-epochs
    wake
  ?
    start 0 stable 3 high 3 durable 4 written 4 end 4
  > started-over 9
    save-epochs
    wake
  ?
    start 9 stable 9 high 9 durable 9 written 9 end 9
  `,
)
