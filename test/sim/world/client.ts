/**
 * A machine of the application's: one process with the real client in it, which can be killed and started anew.
 */

import { type SeededRandom } from '../../../broker/env-memory/random.ts'
import { type ClientEnv } from '../../../client/env.ts'
import { Kafka } from '../../../client/kafka.ts'
import { clientEnv, type Trace } from './envs.ts'
import { type SimNetwork } from './network.ts'
import { SimProcess } from './process.ts'
import { type Scheduler } from './scheduler.ts'

export interface ClientOptions {
  readonly name: string
  readonly host: string
  /** `host:port` of brokers. */
  readonly brokers: string
  readonly scheduler: Scheduler
  readonly network: SimNetwork
  readonly random: SeededRandom
  readonly trace: Trace | null
}

export class ClientMachine {
  readonly name: string
  readonly host: string
  readonly random: SeededRandom
  readonly #options: ClientOptions
  #process: SimProcess | null = null

  constructor(options: ClientOptions) {
    this.#options = options
    this.name = options.name
    this.host = options.host
    this.random = options.random
  }

  get process(): SimProcess | null {
    return this.#process
  }

  get brokers(): string {
    return this.#options.brokers
  }

  /** A new process without anything in it. */
  startBare(): { readonly process: SimProcess; readonly env: ClientEnv } {
    const { name, host, scheduler, network, random } = this.#options
    const skew = { offsetMs: random.int(2000) - 1000, rate: 1 }
    const process = new SimProcess({ name, host, scheduler, skew, turnMs: 0.02 })
    this.#process = process
    return { process, env: clientEnv(process, network, random.fork()) }
  }

  /** A new process, which the machine's last one must have made room for. */
  start(): { readonly process: SimProcess; readonly kafka: Kafka } {
    const { name, brokers, trace } = this.#options
    const { process, env } = this.startBare()
    const say =
      (level: string) =>
      (message: string, fields: Readonly<Record<string, unknown>> = {}): void =>
        trace?.(name, level, message, fields)
    const kafka = new Kafka({
      brokers,
      clientId: name,
      env,
      requestTimeoutMs: 10_000,
      connectionTimeoutMs: 5000,
      operationTimeoutMs: 40_000,
      metadataMaxAgeMs: 60_000,
      logger: { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') },
    })
    return { process, kafka }
  }

  kill(): void {
    const process = this.#process
    if (process === null) return
    this.#process = null
    process.kill()
    this.#options.network.processEnded(process)
  }
}
