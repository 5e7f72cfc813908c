/**
 * The composition root: one broker made from an environment and a configuration, with its start and its stop.
 */
import { type BrokerConfig } from './config/broker-config.ts'
import { type Address, type Env } from './env.ts'

export type BrokerState = 'new' | 'starting' | 'running' | 'stopping' | 'stopped' | 'failed'

export interface BrokerOptions {
  readonly env: Env
  readonly config: BrokerConfig
  /**
   * Called once when the broker can no longer keep its promises (a failed sync, a bug): it has already stopped serving.
   * The process should end with code 1. Without it the error is logged and `failed` tells it.
   */
  readonly onFatal?: (error: Error) => void
}

export interface Broker {
  readonly state: BrokerState
  readonly brokerId: number
  /** Known after `start`. */
  readonly clusterId: string
  /** Where the first listener listens, with the port that it got. */
  readonly address: Address
  readonly addresses: readonly { readonly listener: string; readonly address: Address }[]
  /** Resolves when requests are answered. Rejects, with everything closed again, when it cannot start. */
  start(): Promise<void>
  /** Stops accepting, finishes what is under way, flushes, writes the checkpoints and the clean-shutdown marker. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export function createBroker(_options: BrokerOptions): Broker {
  throw new Error('not there yet')
}
