/** Transcripts of the replica: each test is a story, read from top to bottom. */
import { story } from './script.ts'

story(
  'acks=all is answered when the batch is on disk, acks=1 when it is written, acks=0 at once',
  `
  > become-leader 1
    save-epochs
    wake
  > produce all records=3
    append 0..2 epoch 1
    timer 30000
  > produce one acks=1
    append 3..3 epoch 1
  > produce none acks=0
    append 4..4 epoch 1
    reply none offset 4
  ?
    start 0 stable 0 high 0 durable 0 written 0 end 5
  > written 5
    reply one offset 3
    sync
  ?
    start 0 stable 0 high 0 durable 0 written 5 end 5
  > synced 5
    reply all offset 0
    wake
  ?
    start 0 stable 5 high 5 durable 5 written 5 end 5
  `,
)

story(
  'writes that come while a sync is under way share the next one',
  `
  > become-leader 1
    save-epochs
    wake
  > produce a
    append 0..0 epoch 1
    timer 30000
  > written 1
    sync
  > produce b
    append 1..1 epoch 1
  > produce c
    append 2..2 epoch 1
  > written 3
    sync
  > synced 1
    reply a offset 0
    wake
  > synced 3
    reply b offset 1
    reply c offset 2
    wake
  `,
)

story(
  'a retry is answered no earlier than the batch it repeats, with that batch’s offset',
  `
  > become-leader 1
    save-epochs
    wake
  > produce first pid=7 seq=0 records=2
    append 0..1 epoch 1
    timer 30000
  > produce second pid=7 seq=2
    append 2..2 epoch 1
  # The connection broke; the client sends both again.
  > produce first-again pid=7 seq=0 records=2
  > produce eager-again pid=7 seq=0 records=2 acks=1
  > written 3
    reply eager-again offset 0
    sync
  > produce second-again pid=7 seq=2
  > synced 3
    reply first offset 0
    reply first-again offset 0
    reply second offset 2
    reply second-again offset 2
    wake
  > produce late pid=7 seq=0 records=2
    reply late offset 0
  `,
)

story(
  'a batch that the disk did not take is gone with its sequence, and its retries with it',
  `
  > become-leader 1
    save-epochs
    wake
  > produce kept pid=7 seq=0
    append 0..0 epoch 1
    timer 30000
  > written 1
    sync
  > synced 1
    reply kept offset 0
    wake
  > produce lost pid=7 seq=1
    append 1..1 epoch 1
  > produce lost-again pid=7 seq=1
  > produce lost-too acks=1
    append 2..2 epoch 1
  > write-failed 1
    reply lost-too KAFKA_STORAGE_ERROR
    reply lost KAFKA_STORAGE_ERROR
    reply lost-again KAFKA_STORAGE_ERROR
  ?
    start 0 stable 1 high 1 durable 1 written 1 end 1
  # There is room again: the same sequence is welcome.
  > produce retried pid=7 seq=1
    append 1..1 epoch 1
  > written 2
    sync
  > synced 2
    reply retried offset 1
    wake
  `,
)

story(
  'with log.flush.before.ack=false written is enough, and flush.messages says when to sync',
  `
  > become-leader 1
    save-epochs
    wake
  > produce a records=2
    append 0..1 epoch 1
    timer 30000
  > written 2
    reply a offset 0
    wake
  > produce b
    append 2..2 epoch 1
  > written 3
    sync
    reply b offset 2
    wake
  > synced 3
  `,
  { config: { flushBeforeAck: false, flushMessages: 3 } },
)

story(
  'flush.ms syncs what has waited so long',
  `
  > become-leader 1
    save-epochs
    wake
  > produce a acks=1
    append 0..0 epoch 1
    timer 500
  > written 1
    reply a offset 0
    wake
  > wait 500
  > tick
    sync
  > synced 1
  `,
  { config: { flushBeforeAck: false, flushMs: 500 } },
)

story(
  'a sync that is due waits for the write without asking for the clock again, and follows it at once',
  `
  > become-leader 1
    save-epochs
    wake
  > produce a acks=1
    append 0..0 epoch 1
    timer 500
  > written 1
    reply a offset 0
    wake
  > wait 500
  > tick
    sync
  > produce b acks=1
    append 1..1 epoch 1
    timer 500
  > written 2
    reply b offset 1
    wake
  # The sync was asked for at 1 and took what came meanwhile along.
  > synced 2
  > produce c acks=1
    append 2..2 epoch 1
  # The disk stalls.
  > wait 1000
  > tick
    timer 30500
  > written 3
    reply c offset 2
    timer 1000
    wake
  > tick
    sync
  > synced 3
  `,
  { config: { flushBeforeAck: false, flushMs: 500 } },
)

story(
  'what is not committed in time is answered so, and stays in the log',
  `
  > become-leader 1
    save-epochs
    wake
  > produce slow timeout=100
    append 0..0 epoch 1
    timer 100
  > wait 60
  > produce slower timeout=100
    append 1..1 epoch 1
  > wait 40
  > tick
    reply slow REQUEST_TIMED_OUT
    timer 160
  > written 2
    sync
  > synced 2
    reply slower offset 1
    wake
  `,
)

story(
  'a partition alone cannot want more replicas than it has',
  `
  > become-leader 1
    save-epochs
    wake
  > produce a
    append 0..0 epoch 1
    timer 30000
  `,
  { config: { minInsyncReplicas: 2 } },
)

story(
  'who waits when the leadership ends is told, and nobody is let in',
  `
  > produce early
    reply early NOT_LEADER_OR_FOLLOWER
  > become-leader 1
    save-epochs
    wake
  > produce a
    append 0..0 epoch 1
    timer 30000
  > resign
    reply a NOT_LEADER_OR_FOLLOWER
    wake
  > produce b
    reply b NOT_LEADER_OR_FOLLOWER
  `,
)

story(
  'a full segment is followed by a new one, with the producers as they were',
  `
  > become-leader 1
    save-epochs
    wake
  > produce a pid=1 seq=0 bytes=400
    append 0..0 epoch 1
    timer 30000
  > produce b pid=2 seq=0 bytes=400
    append 1..1 epoch 1
  > produce c pid=3 seq=0 bytes=400
    roll 2 producers 2
    append 2..2 epoch 1
  `,
  { config: { segmentBytes: 1000 } },
)

story(
  'deleting records moves the start, and readers are told',
  `
  > become-leader 1
    save-epochs
    wake
  > produce a records=10
    append 0..9 epoch 1
    timer 30000
  > written 10
    sync
  > synced 10
    reply a offset 0
    wake
  > move-start 4
    start-moved 4
    save-epochs
    wake
  > move-start 4
  ?
    start 4 stable 10 high 10 durable 10 written 10 end 10
  `,
)

story(
  'with LogAppendTime every answer tells the time of the append, that of a retry too',
  `
  > become-leader 1
    save-epochs
    wake
  > wait 250
  > produce a pid=7 seq=0
    append 0..0 epoch 1
    timer 30250
  > wait 100
  > produce a-again pid=7 seq=0
  > written 1
    sync
  > synced 1
    reply a offset 0 time +250
    reply a-again offset 0 time +250
    wake
  `,
  { config: { messageTimestampType: 'LogAppendTime' } },
)

story(
  'a transactional batch needs a transaction that is known, and keeps the stable offset back',
  `
  > become-leader 1
    save-epochs
    wake
  > produce stray pid=7 seq=0 transactional
    reply stray INVALID_TXN_STATE
  > produce a pid=7 seq=0 transactional verified
    append 0..0 epoch 1
    timer 30000
  > produce b pid=7 seq=1 transactional
    append 1..1 epoch 1
  > written 2
    sync
  > synced 2
    reply a offset 0
    reply b offset 1
    wake
  ?
    start 0 stable 0 high 2 durable 2 written 2 end 2
  `,
)

story(
  'a changed config holds from then on for what is waiting too',
  `
  > become-leader 1
    save-epochs
    wake
  > produce a
    append 0..0 epoch 1
    timer 30000
  > written 1
    sync
  > configure flushBeforeAck=false
    reply a offset 0
    wake
  > synced 1
  > produce b
    append 1..1 epoch 1
  > written 2
    reply b offset 1
    wake
  > configure flushBeforeAck=true
    sync
  `,
)
