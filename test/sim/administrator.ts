/**
 * The administrator of a simulated cluster: looks at offsets that groups have committed, deletes records, makes and
 * deletes topics, gives them partitions and configs.
 */
import { type Admin } from '../../client/admin.ts'
import { type Kafka } from '../../client/kafka.ts'
import { type TopicPlan } from './plan.ts'
import { type Actor, checkError, live, type Workload } from './workload.ts'
import { type ClientMachine } from './world/client.ts'
import { type SimProcess } from './world/process.ts'
import { Violation } from './world/violation.ts'

export class AdministratorActor implements Actor {
  readonly machine: ClientMachine
  readonly #workload: Workload
  readonly topics: readonly TopicPlan[]
  readonly #groups: readonly string[]
  #churn = 0
  #made = false

  constructor(options: {
    machine: ClientMachine
    workload: Workload
    topics: readonly TopicPlan[]
    groups: readonly string[]
  }) {
    this.machine = options.machine
    this.#workload = options.workload
    this.topics = options.topics
    this.#groups = options.groups
  }

  /** Whether the topics of the workload are there. */
  get hasMadeTopics(): boolean {
    return this.#made
  }

  start(): void {
    const { process, kafka } = this.machine.start()
    const who = this.machine.name
    live(
      this.#workload,
      who,
      () => this.#live(process, kafka),
      () => {},
    )
  }

  isAtRest(): boolean {
    return this.waitsFor() === ''
  }

  waitsFor(): string {
    const { history } = this.#workload
    const lags: string[] = []
    for (const group of this.#groups) {
      for (const { topic, partitions, compacted } of this.topics) {
        if (compacted) continue
        for (let partition = 0; partition < partitions; partition++) {
          const lag = history.groupLag(group, topic, partition)
          if (lag > 0) lags.push(`${group} is ${lag} behind in ${topic}-${partition}`)
        }
      }
    }
    return lags.join(', ')
  }

  async #live(process: SimProcess, kafka: Kafka): Promise<void> {
    const admin = kafka.admin()
    const { random } = this.machine
    for (;;) {
      const attempt = async (work: () => Promise<unknown>): Promise<boolean> => {
        try {
          await work()
          return true
        } catch (error) {
          checkError(error, this.machine.name)
          this.#workload.note(this.machine.name, String(error))
          return false
        }
      }
      if (!this.#made) {
        this.#made = await attempt(() => this.#makeTopics(admin))
        if (!this.#made) await process.sleep(500)
        continue
      }
      for (const group of this.#groups) await attempt(() => this.#lookAtGroup(admin, group))
      if (!this.#workload.stopping) await attempt(() => this.#change(admin))
      await process.sleep(this.#workload.stopping ? 3000 : 5000 + random.int(20_000))
    }
  }

  async #makeTopics(admin: Admin): Promise<void> {
    await admin.createTopics({
      topics: this.topics.map(({ topic, partitions, replicationFactor, configs }) => ({
        topic,
        partitions,
        replicationFactor,
        configs,
      })),
      ifNotExists: true,
    })
  }

  async #lookAtGroup(admin: Admin, group: string): Promise<void> {
    const { history } = this.#workload
    const before = history.commitsOf(group)
    for (const { topic, partition, offset } of await admin.fetchOffsets({ groupId: group }))
      history.committed(group, topic, partition, offset, before)
  }

  async #change(admin: Admin): Promise<void> {
    const { random } = this.machine
    const { history } = this.#workload
    const plan = this.topics[random.int(this.topics.length)]!
    switch (random.int(14)) {
      case 0: {
        if (plan.compacted) return
        const partition = random.int(plan.partitions)
        const end = history.promisedEnd(`${plan.topic}-${partition}`) ?? 0
        const offset = Math.floor(end * random.float())
        history.deleteAsked(plan.topic, partition, offset)
        await admin.deleteRecords({ topic: plan.topic, partitions: [{ partition, offset }] })
        return
      }
      case 1:
        await admin.createTopics({
          topics: [{ topic: `churn-${this.#churn++ % 3}`, partitions: 1 + random.int(3) }],
        })
        return
      case 2:
        await admin.deleteTopics({ topics: [`churn-${random.int(3)}`], ifExists: true })
        return
      case 3:
        await admin.createPartitions({ topics: [{ topic: `churn-${random.int(3)}`, count: 4 }] })
        return
      case 4:
        await admin.incrementalAlterConfigs({
          resources: [
            {
              type: 'topic',
              // Of the groups too, so that what they leave behind is compacted.
              name: random.int(3) === 0 ? '__consumer_offsets' : plan.topic,
              changes: [{ name: 'segment.ms', op: 'set', value: String(5000 + random.int(100_000)) }],
            },
          ],
        })
        return
      case 5:
        await admin.describeTopics({ topics: [plan.topic] })
        return
      case 6:
        for (const { groupId, members } of await admin.describeGroups({ groups: this.#groups }))
          checkStaticMembers(groupId, members)
        return
      case 7:
        // A group without members comes and goes: what it leaves behind are tombstones.
        await admin.setOffsets({
          groupId: 'group-c',
          offsets: [{ topic: plan.topic, partition: 0, offset: random.int(100) }],
        })
        return
      case 8:
        await admin.deleteGroups({ groups: ['group-c'] })
        return
      default:
        await this.#lookAtEnds(admin, plan)
    }
  }

  /** Nobody is told of an end before what was acknowledged or read by then. */
  async #lookAtEnds(admin: Admin, { topic, partitions }: TopicPlan): Promise<void> {
    const { history } = this.#workload
    const before = Array.from({ length: partitions }, (_, partition) =>
      history.promisedEnd(`${topic}-${partition}`),
    )
    for (const { partition, latest } of await admin.fetchTopicOffsets(topic)) {
      const promised = before[partition] ?? 0
      if (latest < promised)
        throw new Violation('end-back', `${topic}-${partition} ended at ${promised}, and ends at ${latest}`)
    }
  }
}

/** A static member that has come back has taken the place of its former self. */
function checkStaticMembers(
  groupId: string,
  members: readonly { readonly clientId: string; readonly groupInstanceId: string | null }[],
): void {
  const clients = members
    .filter(({ groupInstanceId }) => groupInstanceId !== null)
    .map(({ clientId }) => clientId)
  if (new Set(clients).size < clients.length)
    throw new Violation('duplicate-static-member', `group ${groupId} has ${clients.join()}`)
}
