/** What the comparison of clients tells each client's process, and what comes back. Types only. */

export const CLIENT_NAMES = ['sluice', 'kafkajs', 'confluent'] as const
export type ClientName = (typeof CLIENT_NAMES)[number]

export interface ClientTask {
  readonly client: ClientName
  readonly kind: 'produce' | 'consume'
  readonly brokers: string
  readonly topic: string
  readonly partitions: number
  readonly recordBytes: number
  /** Produce: not counted, then counted. Consume: not used. */
  readonly warmupMs: number
  readonly durationMs: number
  /** Consume: records that are in the topic, all of which are read. Produce: not used. */
  readonly records: number
  /** Folder whose node_modules hold a client that is no dependency of ours; null for the others. */
  readonly modules: string | null
}

export interface ClientOutcome {
  readonly records: number
  readonly durationMs: number
  /** Processor time as a share of one core. */
  readonly cpu: number
  /** Null where it worked. */
  readonly error: string | null
}
