/**
 * The last look: a client that has seen nothing so far reads every partition from its start to its end, and what it
 * finds must hold all that was promised. It also looks at the groups, which must be stable by then.
 */
import { type Admin } from '../../client/admin.ts'
import { type Kafka } from '../../client/kafka.ts'
import { type SeenRecord } from './history.ts'
import { type TopicPlan } from './plan.ts'
import { checkError, type Workload } from './workload.ts'
import { type ClientMachine } from './world/client.ts'
import { type SimProcess } from './world/process.ts'

export class Inspection {
  readonly #machine: ClientMachine
  readonly #workload: Workload
  readonly #topics: readonly TopicPlan[]
  isDone = false

  constructor(machine: ClientMachine, workload: Workload, topics: readonly TopicPlan[]) {
    this.#machine = machine
    this.#workload = workload
    this.#topics = topics
  }

  start(): void {
    const { process, kafka } = this.#machine.start()
    this.#look(process, kafka).catch(error => this.#workload.fail(error))
  }

  stop(): void {
    this.#machine.kill()
  }

  async #look(process: SimProcess, kafka: Kafka): Promise<void> {
    while (!this.isDone) {
      try {
        await this.#readAll(kafka)
        this.isDone = true
      } catch (error) {
        checkError(error, this.#machine.name)
        this.#workload.note(this.#machine.name, String(error))
        await process.sleep(1000)
      }
    }
  }

  async #readAll(kafka: Kafka): Promise<void> {
    const admin = kafka.admin()
    for (const { topic, partitions } of this.#topics) {
      for (const { partition, earliest, latest } of await admin.fetchTopicOffsets(topic)) {
        if (partition >= partitions) continue
        const found = await this.#read(kafka, admin, topic, partition, earliest, latest)
        this.#workload.history.checkAll(topic, partition, earliest, found)
      }
    }
  }

  async #read(
    kafka: Kafka,
    admin: Admin,
    topic: string,
    partition: number,
    earliest: number,
    latest: number,
  ): Promise<Map<number, SeenRecord>> {
    const found = new Map<number, SeenRecord>()
    if (earliest === latest) return found
    const { history } = this.#workload
    const consumer = kafka.consumer({ fetchMaxWaitMs: 500 })
    try {
      await consumer.assign([{ topic, partition, offset: earliest }])
      let next = earliest
      const stop = new AbortController()
      for await (const batch of consumer.batches({ signal: stop.signal })) {
        for (const message of batch) {
          next = history.read(message, next, this.#machine.name)
          found.set(message.offset, message)
        }
        if (batch.lastOffset + 1 >= latest) break
      }
    } finally {
      await consumer.close()
    }
    // A cleaner may have taken older records of keys while this was read: that is no loss.
    await admin.fetchTopicOffsets(topic)
    return found
  }
}
