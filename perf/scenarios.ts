/**
 * What `npm run bench` measures: each case with the topic it needs, the side of the pipe it is compared with, and
 * the ratio it is meant to reach. Data only.
 */
import type { PipePorts } from './pipe-protocol.ts'

const KIBIBYTE = 1 << 10
const MEBIBYTE = 1 << 20

export const RECORD_BYTES = KIBIBYTE
/** One answer to a read, of the pipe and of the broker. */
export const READ_BYTES = MEBIBYTE

interface CommonScenario {
  readonly name: string
  readonly title: string
  readonly pipe: keyof PipePorts
  readonly batchBytes: number
  /** Requests under way. */
  readonly inFlight: number
  readonly target: number
  readonly topicConfigs: Readonly<Record<string, string>>
}

export interface ProduceScenario extends CommonScenario {
  readonly kind: 'produce'
  /** Bytes written before anything is measured: until the topic has let segments go, and writes to used ones. */
  readonly fillBytes: number
}

export interface FetchScenario extends CommonScenario {
  readonly kind: 'fetch'
  /** Bytes written to the topic before it is read. */
  readonly fillBytes: number
  /** Reading goes round in so many of them: the last at the tail, the first of a cold topic. */
  readonly rangeBytes: number
  readonly range: 'first' | 'last'
}

export type Scenario = ProduceScenario | FetchScenario

/** Well above `retention.bytes`, as the pipe's file is written once before it is measured. */
const PRODUCE_FILL_BYTES = 1024 * MEBIBYTE

/**
 * Segments that are let go and used again, so that writes meet warm pages as those of the pipe do. A quarter of the
 * default size, which does not fit the page cache of a small machine several times.
 */
const RECYCLING = {
  'segment.bytes': String(256 * MEBIBYTE),
  'retention.bytes': String(256 * MEBIBYTE),
  'file.delete.delay.ms': '0',
}

function produce(
  name: string,
  title: string,
  batchBytes: number,
  inFlight: number,
  target: number,
  synced: boolean,
): ProduceScenario {
  return {
    kind: 'produce',
    fillBytes: PRODUCE_FILL_BYTES,
    name,
    title,
    pipe: synced ? 'appendSynced' : 'append',
    batchBytes,
    inFlight,
    target,
    topicConfigs: { ...RECYCLING, 'flush.before.ack': String(synced) },
  }
}

export const SCENARIOS: readonly Scenario[] = [
  produce('produce-1m', 'Produce, 1 MiB batches, no sync', MEBIBYTE, 8, 0.8, false),
  produce('produce-64k', 'Produce, 64 KiB batches, no sync', 64 * KIBIBYTE, 32, 0.8, false),
  produce('produce-16k', 'Produce, 16 KiB batches, no sync', 16 * KIBIBYTE, 64, 0.7, false),
  produce('synced-1m', 'Produce, 1 MiB batches, synced before the ack', MEBIBYTE, 16, 0.8, true),
  produce('synced-64k', 'Produce, 64 KiB batches, synced before the ack', 64 * KIBIBYTE, 64, 0.8, true),
  {
    kind: 'fetch',
    name: 'consume-tail',
    title: 'Consume at the tail',
    pipe: 'readMemory',
    batchBytes: 64 * KIBIBYTE,
    inFlight: 2,
    target: 0.8,
    topicConfigs: { 'flush.before.ack': 'false' },
    fillBytes: 48 * MEBIBYTE,
    rangeBytes: 16 * MEBIBYTE,
    range: 'last',
  },
  {
    kind: 'fetch',
    name: 'consume-cold',
    title: 'Consume cold segments, in the page cache',
    pipe: 'readFile',
    batchBytes: 64 * KIBIBYTE,
    inFlight: 2,
    target: 0.8,
    topicConfigs: { 'flush.before.ack': 'false', 'segment.bytes': String(64 * MEBIBYTE) },
    fillBytes: 640 * MEBIBYTE,
    // As much as the file that the pipe reads; it lies far behind what the tail cache can hold.
    rangeBytes: 256 * MEBIBYTE,
    range: 'first',
  },
]
