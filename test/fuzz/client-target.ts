/**
 * The whole client against a broker whose answers are mangled on the way. Whatever it is told, each of its promises
 * settles, with a result or with one of its own errors; what a consumer hands out was produced; and when the answers
 * are sound again, so is the client.
 */
import { AbortError, type Consumer, Kafka, KafkaError } from '../../client/index.ts'
import { type Chance } from './chance.ts'
import { type Mangling, mangledEnv } from './mangler.ts'
import { demand, type Probe, type Target, Violation } from './target.ts'
import { World } from './world.ts'

const TOPIC = 'alpha'
/** Of simulated time: longer than any time limit of the client. */
const LONGEST_MS = 300_000
const STEP_MS = 50

export const clientTarget: Target = {
  name: 'client',
  share: 2,
  run: async (chance, probe) => {
    probe.pause()
    const world = await World.start({ seed: chance.int(1 << 30) })
    await world.createTopics({ alpha: 2, beta: 1 })
    const mangling: Mangling = { oneIn: chance.pick([2, 4, 10]), sockets: new Set() }
    const kafka = new Kafka({
      brokers: `127.0.0.1:${world.broker.address.port}`,
      env: mangledEnv(world.env, chance.fork(), mangling, probe),
      requestTimeoutMs: 1000,
      connectionTimeoutMs: 1000,
      operationTimeoutMs: 5000,
    })
    await new Session(world, kafka, chance, probe).run(mangling)
    await world.demandHealthy()
    await world.stop()
  },
}

class Session {
  readonly #world: World
  readonly #kafka: Kafka
  readonly #chance: Chance
  readonly #probe: Probe
  readonly #produced = new Set<string>()

  constructor(world: World, kafka: Kafka, chance: Chance, probe: Probe) {
    this.#world = world
    this.#kafka = kafka
    this.#chance = chance
    this.#probe = probe
  }

  async run(mangling: Mangling): Promise<void> {
    const { oneIn } = mangling
    const producer = this.#kafka.producer({ lingerMs: 1, deliveryTimeoutMs: 4000, requestTimeoutMs: 1000 })
    const consumer = this.#kafka.consumer({ fetchMaxWaitMs: 10 })
    for (let round = 0; round < 6; round++) {
      const value = `value ${round}`
      this.#produced.add(value)
      await this.#settled('send', () =>
        producer.send({ topic: TOPIC, messages: [{ value }, { value, partition: 1 }] }),
      )
      await this.#settled('admin', () => this.#administer())
    }
    const assigned = await this.#settled('assign', () =>
      consumer.assign([
        { topic: TOPIC, partition: 0, offset: 'earliest' },
        { topic: TOPIC, partition: 1, offset: 'earliest' },
      ]),
    )
    if (!(assigned instanceof Error)) await this.#read(consumer)
    await this.#settled('lag', () => consumer.lag())
    await this.#settled('close of a consumer', () => consumer.close())
    await this.#settled('flush', () => producer.flush())
    await this.#settled('close of a producer', () => producer.close())
    mangling.oneIn = 0
    // What a broker has said of its versions holds for as long as its connection does.
    for (const socket of mangling.sockets) socket.destroy()
    await this.#demandRecovery()
    mangling.oneIn = oneIn
    await this.#settled('close', () => this.#kafka.close())
  }

  #administer(): Promise<unknown> {
    const admin = this.#kafka.admin()
    switch (this.#chance.int(7)) {
      case 0:
        return admin.listTopics()
      case 1:
        return admin.describeCluster()
      case 2:
        return admin.fetchTopicOffsets(TOPIC)
      case 3:
        return admin.describeConfigs({ resources: [{ type: 'topic', name: TOPIC }] } as never)
      case 4:
        return admin.apiVersions()
      case 5:
        return admin.describeLogDirs()
      default:
        return admin.createTopics({ topics: [{ topic: `new-${this.#chance.int(3)}` }] } as never)
    }
  }

  async #read(consumer: Consumer): Promise<void> {
    const abort = new AbortController()
    const messages = consumer.messages({ signal: abort.signal })
    let isOver = false
    const reading = (async () => {
      for await (const message of messages) {
        const value = String(message.value)
        demand(
          this.#produced.has(value),
          `a consumer hands out what nobody produced: ${JSON.stringify(value)}`,
        )
      }
    })().finally(() => {
      isOver = true
    })
    reading.catch(() => {})
    for (let waited = 0; waited < 5000 && !isOver; waited += STEP_MS)
      await this.#world.env.clock.advance(STEP_MS)
    abort.abort()
    await this.#settled('reading', () => reading)
  }

  /** New ones of everything, as after a restart of the application; nothing is mangled now. */
  async #demandRecovery(): Promise<void> {
    const producer = this.#kafka.producer({ lingerMs: 0 })
    const last = await this.#settled('send at last', () =>
      producer.send({ topic: TOPIC, messages: [{ value: 'last', partition: 0 }] }),
    )
    if (last instanceof Error) throw new Violation('a client does not recover', { cause: last })
    await this.#settled('close', () => producer.close())
  }

  /** Waits, while time goes on, and judges the error. */
  async #settled<T>(what: string, action: () => Promise<T>): Promise<T | Error> {
    const { clock } = this.#world.env
    let outcome: { value: T | Error } | null = null
    const note = (value: T | Error): void => {
      outcome = { value }
    }
    let work: Promise<T>
    try {
      work = action()
    } catch (error) {
      work = Promise.reject(error as Error)
    }
    work.then(note, note)
    const isSettled = (): { value: T | Error } | null => outcome
    for (let waited = 0; isSettled() === null; waited += STEP_MS) {
      demand(waited < LONGEST_MS, `${what} does not come to an end`)
      await clock.advance(STEP_MS)
    }
    this.#probe.pause()
    const { value } = isSettled()!
    const isError = value instanceof Error
    const isOurs = value instanceof KafkaError || value instanceof AbortError
    if (isError && !isOurs) throw value
    return value
  }
}
