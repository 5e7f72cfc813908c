/**
 * A member of a classic group as a client is one, with an eager assignor: it gives everything up before it joins anew,
 * and if it leads, it shares the partitions out.
 */
import { type GroupReply } from '../../../broker/group/types.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { decodeAssignment, encodeAssignment } from '../../../client/protocol/messages/consumer-protocol.ts'
import { freshId, joinCommand, memberCommand, syncCommand } from './members.ts'
import { type TestShell } from './shell.ts'

export class ClassicClient {
  readonly instanceId: string | null
  readonly #shell: TestShell
  readonly #partitionCount: () => number
  memberId = ''
  generationId = -1
  phase: 'out' | 'joining' | 'joined' | 'syncing' | 'stable' | 'fenced' = 'out'
  owned: number[] = []
  /** Of the join that waits. */
  joinToken = 0
  #assignments: Record<string, Uint8Array> = {}
  /** Answers of older attempts are lost with their connection. */
  #attempt = 0

  constructor(shell: TestShell, instanceId: string | null, partitionCount: () => number) {
    this.#shell = shell
    this.instanceId = instanceId
    this.#partitionCount = partitionCount
  }

  /** The connection is gone, and with it the answer that was waited for. */
  disconnect(): void {
    this.#attempt++
    if (this.phase === 'joining' || this.phase === 'syncing') this.#rejoin()
  }

  /** The next thing that a client in this phase does; nothing while it waits. */
  act(isLost = false): void {
    switch (this.phase) {
      case 'out':
        this.#join(isLost)
        break
      case 'joined':
        this.#sync(isLost)
        break
      case 'stable':
        this.#heartbeat(isLost)
        break
      default:
        break
    }
  }

  #send(
    command: Parameters<TestShell['send']>[0],
    isLost: boolean,
    react: (reply: GroupReply) => void,
  ): number {
    const attempt = ++this.#attempt
    return this.#shell.send(command, reply => {
      if (attempt !== this.#attempt) return
      if (isLost) this.disconnect()
      else react(reply)
    })
  }

  #join(isLost: boolean): void {
    this.phase = 'joining'
    this.owned = []
    const { memberId, instanceId } = this
    const command = joinCommand({
      memberId,
      instanceId,
      newMemberId: freshId(),
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 20_000,
      protocols: ['range', 'sticky'],
    })
    this.joinToken = this.#send(command, isLost, reply => {
      if (reply.kind !== 'join-group') return
      const { errorCode, generationId, leader, members } = reply.answer
      if (errorCode === ErrorCode.NONE) {
        this.memberId = reply.answer.memberId
        this.generationId = generationId ?? -1
        this.phase = 'joined'
        this.#assignments = {}
        if (leader === this.memberId && reply.answer.skipAssignment !== true) this.#assign(members)
      } else if (errorCode === ErrorCode.MEMBER_ID_REQUIRED) {
        this.memberId = reply.answer.memberId
        this.phase = 'out'
      } else this.#refused(errorCode)
    })
  }

  #assign(members: readonly { readonly memberId: string }[]): void {
    const ids = members.map(({ memberId }) => memberId).sort()
    const shares = ids.map(() => [] as number[])
    for (let partition = 0; partition < this.#partitionCount(); partition++) {
      shares[partition % ids.length]!.push(partition)
    }
    this.#assignments = Object.fromEntries(ids.map((memberId, index) => [memberId, share(shares[index]!)]))
  }

  #sync(isLost: boolean): void {
    this.phase = 'syncing'
    const { memberId, generationId, instanceId } = this
    const command = syncCommand({ memberId, generationId, instanceId, assignments: this.#assignments })
    this.#send(command, isLost, reply => {
      if (reply.kind !== 'sync-group') return
      const { errorCode, assignment } = reply.answer
      if (errorCode !== ErrorCode.NONE) this.#refused(errorCode)
      else {
        this.phase = 'stable'
        this.owned = decodeAssignment(assignment).assignedPartitions.flatMap(({ partitions }) => partitions)
      }
    })
  }

  #heartbeat(isLost: boolean): void {
    const { memberId, generationId, instanceId } = this
    this.#send(memberCommand({ memberId, generationId, instanceId }), isLost, reply => {
      if (reply.kind === 'heartbeat' && reply.answer.errorCode !== ErrorCode.NONE) {
        this.#refused(reply.answer.errorCode)
      }
    })
  }

  #refused(errorCode: number): void {
    if (errorCode === ErrorCode.FENCED_INSTANCE_ID) {
      this.phase = 'fenced'
      this.owned = []
      return
    }
    if (errorCode === ErrorCode.UNKNOWN_MEMBER_ID) this.memberId = ''
    this.#rejoin()
  }

  #rejoin(): void {
    this.phase = 'out'
    this.owned = []
  }
}

function share(partitions: number[]): Uint8Array {
  return encodeAssignment({ assignedPartitions: [{ topic: 't', partitions }], userData: null })
}
