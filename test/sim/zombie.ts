/**
 * A member of a classic group that has missed a rebalance, and commits all the same. The real client would not: it
 * knows that its session is over. The broker must refuse it.
 */
import { Cluster } from '../../client/cluster.ts'
import { resolveConfig } from '../../client/config.ts'
import { Coordinator } from '../../client/coordinator.ts'
import { requestCommit } from '../../client/group-offsets.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type Actor, checkError, live, type Workload } from './workload.ts'
import { type ClientMachine } from './world/client.ts'
import { type SimProcess } from './world/process.ts'
import { Violation } from './world/violation.ts'

/** Connections of a lane are not shared with others. */
const LANE = 'zombie'

export class ZombieActor implements Actor {
  readonly machine: ClientMachine
  readonly #workload: Workload

  constructor(machine: ClientMachine, workload: Workload) {
    this.machine = machine
    this.#workload = workload
  }

  start(): void {
    const { process, env } = this.machine.startBare()
    const config = resolveConfig({
      brokers: this.machine.brokers,
      requestTimeoutMs: 5000,
      operationTimeoutMs: 10_000,
    })
    const cluster = new Cluster(config, env)
    const ended = (): void => {}
    live(this.#workload, this.machine.name, () => this.#live(process, cluster), ended)
  }

  isAtRest(): boolean {
    return true
  }

  async #live(process: SimProcess, cluster: Cluster): Promise<void> {
    const { random } = this.machine
    while (!this.#workload.stopping) {
      await process.sleep(10_000 + random.int(60_000))
      const { memberships } = this.#workload
      const old = memberships[random.int(memberships.length)]
      const isOver = memberships.some(each => each.group === old?.group && each.generation > old.generation)
      if (old === undefined || !isOver) continue
      const identity = {
        groupId: old.group,
        generation: old.generation,
        memberId: old.memberId,
        groupInstanceId: null,
      }
      const offsets = [{ topic: 'plain', partition: 0, offset: 0, leaderEpoch: -1, metadata: '' }]
      try {
        const coordinator = new Coordinator(cluster, old.group)
        const outcomes = await coordinator.once(LANE, connection =>
          requestCommit(cluster, connection, identity, offsets, {}),
        )
        if (outcomes.some(({ errorCode }) => errorCode === ErrorCode.NONE))
          throw new Violation(
            'stale-commit',
            `group ${old.group} took a commit of generation ${old.generation}`,
          )
      } catch (error) {
        checkError(error, this.machine.name)
      }
    }
  }
}
