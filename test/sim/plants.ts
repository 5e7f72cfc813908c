/**
 * Bugs that are planted to see whether the simulator finds them: known bugs of brokers like this one, by their number
 * where the list of reliability has one. Each is a mutation from the outside, of the world or of a method of a pure
 * machine; no line of the broker knows of them.
 *
 * What waits for transactions to have something to be planted in: 12 to 14, and 18.
 */
import { type Disk, type DiskFile, type Env } from '../../broker/env.ts'
import { GroupShard } from '../../broker/group/group-shard.ts'
import { type Decision, type GroupCommand } from '../../broker/group/types.ts'
import { LogState } from '../../broker/log/log-state.ts'
import { ProducerState } from '../../broker/log/producer-state.ts'
import { Replica } from '../../broker/replica/replica.ts'
import { PartitionHost } from '../../broker/runtime/partition-host.ts'
import { OffsetIndex } from '../../broker/storage/offset-index.ts'
import { ProducerBatch } from '../../client/producer/batch.ts'
import { BufferPool } from '../../client/producer/buffer-pool.ts'
import { PartitionQueue } from '../../client/producer/partition-queue.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { CLUSTER_PLANTS } from './cluster-plants.ts'
import { type Plant, replace, replaceGetter } from './gardening.ts'

export const PLANTS: readonly Plant[] = [
  // The promise "an acked record is on disk".
  {
    name: 'ack-before-sync',
    plant: () =>
      replace(
        LogState.prototype,
        'written',
        original =>
          function (this: LogState, offset) {
            original.call(this, offset)
            this.synced(offset)
          },
      ),
  },
  {
    name: 'read-before-durable',
    plant: () => replaceGetter(Replica.prototype, 'highWatermark', replica => replica.log.writtenOffset),
  },
  {
    name: 'lost-file-sync',
    wrapEnv: env =>
      withFiles(
        env,
        path => /\.log$/.test(path),
        () => ({ sync: done }),
      ),
  },
  { name: 'lost-directory-sync', wrapEnv: env => withDisk(env, () => ({ syncDirectory: done })) },
  {
    name: 'commit-before-durable',
    plant: () =>
      replace(
        PartitionHost.prototype,
        'append',
        original =>
          function (this: PartitionHost, records, baseOffset, reply) {
            const stored = { errorMessage: null, baseOffset, logAppendTimeMs: -1, logStartOffset: 0 }
            reply({ error: ErrorCode.NONE, ...stored })
            original.call(this, records, baseOffset, () => {})
          },
      ),
  },
  // Idempotence.
  {
    name: 'sequence-check-off',
    plant: () => replace(ProducerState.prototype, 'check', () => () => ({ kind: 'append' })),
  },
  {
    name: '11-producer-state-lost',
    plant: () => {
      const forget = (host: PartitionHost): void => host.state.producers.reset(host.state.logEndOffset)
      const undo = [
        replace(
          PartitionHost.prototype,
          'becomeLeader',
          original =>
            function (this: PartitionHost, epoch) {
              forget(this)
              original.call(this, epoch)
            },
        ),
        replace(
          PartitionHost.prototype,
          'lead',
          original =>
            function (this: PartitionHost, spec) {
              if (this.role !== 'leader') forget(this)
              original.call(this, spec)
            },
        ),
      ]
      return () => undo.forEach(each => void each())
    },
  },
  // Disk.
  {
    name: '24-checkpoint-ahead-of-log',
    wrapEnv: env =>
      withFiles(
        env,
        path => path.includes('recovery-point-offset-checkpoint'),
        file => ({
          write: (chunks, position) => file.write([aheadOfLog(Buffer.concat(chunks))], position),
        }),
      ),
  },
  {
    name: 'index-points-too-far',
    plant: () =>
      replace(
        OffsetIndex.prototype,
        'lookup',
        original =>
          function (this: OffsetIndex, offset) {
            return original.call(this, (offset + 5) as typeof offset)
          },
      ),
  },
  // Groups.
  {
    name: '19-phantom-members',
    plant: () =>
      replace(
        GroupShard.prototype,
        'decide',
        original =>
          function (this: GroupShard, command, nowMs) {
            const isSession = command.kind === 'timer' && /^(member-)?session:/.test(command.key)
            return isSession ? NOTHING : original.call(this, command, nowMs)
          },
      ),
  },
  {
    name: '21-commit-of-old-generation',
    plant: () =>
      replace(
        GroupShard.prototype,
        'decide',
        original =>
          function (this: GroupShard, command, nowMs) {
            const decision = original.call(this, command, nowMs)
            return command.kind === 'offset-commit' ? acceptCommit(command, decision, nowMs) : decision
          },
      ),
  },
  ...CLUSTER_PLANTS,
  // Memory.
  { name: '25-buffer-reused-while-written', plant: reuseBuffers },
  { name: '25-buffer-reused-before-retry', plant: reuseBuffersOfRetries },
]

const NOTHING: Decision = { records: [], volatile: [], replies: [], timers: [] }

function acceptCommit(
  command: Extract<GroupCommand, { kind: 'offset-commit' }>,
  decision: Decision,
  nowMs: number,
): Decision {
  if (decision.records.length > 0) return decision
  const { request, token } = command
  const records = request.topics.flatMap(({ name, topicId, partitions }) =>
    partitions.map(({ partitionIndex, committedOffset, committedLeaderEpoch }) => ({
      type: 'offset-commit' as const,
      key: { group: request.groupId, topic: name, partition: partitionIndex },
      value: {
        offset: committedOffset,
        leaderEpoch: committedLeaderEpoch,
        metadata: '',
        commitTimestamp: nowMs,
        expireTimestamp: -1,
        topicId,
      },
    })),
  )
  const topics = request.topics.map(({ name, topicId, partitions }) => ({
    name,
    topicId,
    partitions: partitions.map(({ partitionIndex }) => ({ partitionIndex, errorCode: ErrorCode.NONE })),
  }))
  return { ...decision, records, replies: [{ kind: 'offset-commit', token, answer: { topics } }] }
}

/** CVE-2026-35554: the buffer of a batch that ran out of time goes back to the pool while a socket still has it. */
function reuseBuffers(): () => void {
  const [release, forget] = poolsOfBatches()
  const undo = replace(
    ProducerBatch.prototype,
    'settle',
    original =>
      function (this: ProducerBatch, outcome) {
        const bytes = outcome.error !== null && this.state === 'flying' ? this.encode('none') : null
        original.call(this, outcome)
        if (bytes !== null) release(bytes)
      },
  )
  return () => {
    undo()
    forget()
  }
}

/** The same for a first attempt that has failed: the batch itself will need its bytes again. */
function reuseBuffersOfRetries(): () => void {
  const [release, forget] = poolsOfBatches()
  const undo = replace(
    PartitionQueue.prototype,
    'answered',
    original =>
      function (this: PartitionQueue, batch, errorCode) {
        const verdict = original.call(this, batch, errorCode)
        if (verdict === 'retry' && batch.attempts === 1) release(batch.encode('none'))
        return verdict
      },
  )
  return () => {
    undo()
    forget()
  }
}

/** Gives bytes back to the pool that they came from; and the way to undo it. */
function poolsOfBatches(): [release: (bytes: Buffer) => void, undo: () => void] {
  const pools = new WeakMap<ArrayBufferLike, BufferPool>()
  const undo = replace(
    BufferPool.prototype,
    'take',
    original =>
      function (this: BufferPool) {
        const taken = original.call(this)
        pools.set(taken.buffer, this)
        return taken
      },
  )
  return [bytes => pools.get(bytes.buffer)?.give(bytes), undo]
}

/** A text of offsets, each greater than the log has. */
function aheadOfLog(text: Buffer): Buffer {
  const lines = text
    .toString()
    .replace(/^(\S+ \d+) (\d+)$/gm, (_, of: string, offset: string) => `${of} ${+offset + 10}`)
  return Buffer.from(lines)
}

// ---------------------------------------------------------------------------------------------- gardening

const done = async (): Promise<void> => {}

function withDisk(env: Env, mutate: (disk: Disk) => Partial<Disk>): Env {
  return { ...env, disk: overlay(env.disk, mutate(env.disk)) }
}

function withFiles(
  env: Env,
  isMeant: (path: string) => boolean,
  mutate: (file: DiskFile) => Partial<DiskFile>,
): Env {
  return withDisk(env, disk => ({
    open: async (path, mode) => {
      const file = await disk.open(path, mode)
      return isMeant(path) ? overlay(file, mutate(file)) : file
    },
  }))
}

/** An object that does some things otherwise; what it does not, the original does. */
function overlay<T extends object>(original: T, other: Partial<T>): T {
  return new Proxy(original, {
    get(target, name) {
      const value = (name in other ? other : target)[name as keyof T]
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value
    },
  })
}
