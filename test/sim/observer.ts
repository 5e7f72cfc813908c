/**
 * Somebody who looks at what groups have committed, each time as a stranger who has to ask for the way. The
 * administrator goes on asking the coordinator that it knows: what one has seen the other must not see undone.
 */
import { type Actor, live, type Workload } from './workload.ts'
import { type ClientMachine } from './world/client.ts'
import { KIND } from './world/scheduler.ts'

export class ObserverActor implements Actor {
  readonly machine: ClientMachine
  readonly #workload: Workload
  readonly #groups: readonly string[]

  constructor(machine: ClientMachine, workload: Workload, groups: readonly string[]) {
    this.machine = machine
    this.#workload = workload
    this.#groups = groups
  }

  start(): void {
    const { process, kafka } = this.machine.start()
    const life = async (): Promise<void> => {
      const admin = kafka.admin()
      for (const group of this.#groups) {
        const { history } = this.#workload
        const before = history.commitsOf(group)
        for (const { topic, partition, offset } of await admin.fetchOffsets({ groupId: group }))
          history.committed(group, topic, partition, offset, before)
      }
    }
    live(this.#workload, this.machine.name, life, () => {})
    process.scheduler.in(5000 + this.machine.random.int(10_000), KIND.process, () => {
      // Where misfortune has ended it, misfortune brings it back.
      if (this.#workload.stopping || this.machine.process !== process) return
      this.machine.kill()
      this.start()
    })
  }

  isAtRest(): boolean {
    return true
  }
}
