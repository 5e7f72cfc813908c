/**
 * An operator who moves partitions to other brokers, takes such moves back, and has preferred leaders elected. It asks
 * in the protocol's own words, and takes no for an answer.
 */
import { Cluster } from '../../client/cluster.ts'
import { resolveConfig } from '../../client/config.ts'
import { KafkaError } from '../../client/errors.ts'
import { API } from '../../client/protocol/apis.ts'
import { errorName } from '../../client/protocol/errors.ts'
import { type TopicPlan } from './plan.ts'
import { type Actor, checkError, live, type Workload } from './workload.ts'
import { type ClientMachine } from './world/client.ts'
import { type SimProcess } from './world/process.ts'

const TIMEOUT_MS = 10_000
const OPTIONS = { target: 'controller', requestTimeoutMs: TIMEOUT_MS } as const

export class MoverActor implements Actor {
  readonly machine: ClientMachine
  readonly #workload: Workload
  readonly #topics: readonly TopicPlan[]
  readonly #brokers: number
  #cluster: Cluster | null = null

  constructor(machine: ClientMachine, workload: Workload, topics: readonly TopicPlan[], brokers: number) {
    this.machine = machine
    this.#workload = workload
    this.#topics = topics
    this.#brokers = brokers
  }

  start(): void {
    const { process, env } = this.machine.startBare()
    const config = resolveConfig({
      brokers: this.machine.brokers,
      requestTimeoutMs: TIMEOUT_MS,
      operationTimeoutMs: 2 * TIMEOUT_MS,
    })
    const cluster = new Cluster(config, env)
    this.#cluster = cluster
    live(
      this.#workload,
      this.machine.name,
      () => this.#live(process, cluster),
      () => {},
    )
  }

  isAtRest(): boolean {
    return true
  }

  /** Has the partition led by the first of the replicas that it has; content where that does not come about. */
  handOver(topic: string, partition: number, replicas: readonly number[]): void {
    const cluster = this.#cluster
    if (cluster === null || this.machine.process === null) return
    const work = async (): Promise<void> => {
      await this.#move(cluster, topic, partition, replicas)
      await this.#elect(cluster, [{ topic, partitions: [partition] }])
    }
    live(this.#workload, this.machine.name, work, () => {})
  }

  async #live(process: SimProcess, cluster: Cluster): Promise<void> {
    const { random } = this.machine
    while (!this.#workload.stopping) {
      await process.sleep(5000 + random.int(60_000))
      try {
        this.#workload.note(this.machine.name, await this.#doSomething(cluster))
      } catch (error) {
        // A broker that does not know these requests is none that could be hurt by them.
        if (error instanceof KafkaError && error.code === 'UNSUPPORTED_VERSION') continue
        checkError(error, this.machine.name)
        this.#workload.note(this.machine.name, String(error))
      }
    }
  }

  async #doSomething(cluster: Cluster): Promise<string> {
    const { random } = this.machine
    const { topic, partitions, replicationFactor } = this.#topics[random.int(this.#topics.length)]!
    const partition = random.int(partitions)
    if (random.int(3) === 0) {
      const topicPartitions = random.int(2) === 0 ? null : [{ topic, partitions: [partition] }]
      return `elect preferred leaders: ${errorName(await this.#elect(cluster, topicPartitions))}`
    }
    const replicas = random.int(4) === 0 ? null : this.#pick(replicationFactor)
    const errorCode = await this.#move(cluster, topic, partition, replicas)
    const where = replicas === null ? 'where it was' : replicas.join()
    return `move ${topic}-${partition} to ${where}: ${errorName(errorCode)}`
  }

  async #elect(
    cluster: Cluster,
    topicPartitions: { readonly topic: string; readonly partitions: number[] }[] | null,
  ): Promise<number> {
    const request = { electionType: 0, topicPartitions, timeoutMs: TIMEOUT_MS }
    return (await cluster.request(API.ElectLeaders, request, OPTIONS)).errorCode
  }

  async #move(
    cluster: Cluster,
    topic: string,
    partitionIndex: number,
    replicas: readonly number[] | null,
  ): Promise<number> {
    const partitions = [{ partitionIndex, replicas: replicas === null ? null : [...replicas] }]
    const request = { timeoutMs: TIMEOUT_MS, topics: [{ name: topic, partitions }] }
    return (await cluster.request(API.AlterPartitionReassignments, request, OPTIONS)).errorCode
  }

  /** So many brokers, in any order; of three with three replicas only the order changes. */
  #pick(count: number): number[] {
    const { random } = this.machine
    const brokers = Array.from({ length: this.#brokers }, (_, index) => index + 1)
    const picked: number[] = []
    while (picked.length < count && brokers.length > 0)
      picked.push(...brokers.splice(random.int(brokers.length), 1))
    return picked
  }
}
