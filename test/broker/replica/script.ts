/**
 * Runs a replica by a script: lines that begin with `>` are events, the indented lines after each are the effects that
 * must follow, in order; `?` asks for the state. What is not right shows as a difference of texts.
 *
 *   > produce a acks=all records=3
 *     append 0..2 epoch 1
 *     timer 30000
 */
import t from 'tap'
import { DEFAULT_LOG_CONFIG, type LogConfig } from '../../../broker/log/config.ts'
import { LogState } from '../../../broker/log/log-state.ts'
import { ProducerState } from '../../../broker/log/producer-state.ts'
import { type SegmentFacts } from '../../../broker/log/segments.ts'
import { type ReplicaEffect, type ReplicaEvent } from '../../../broker/replica/events.ts'
import { Replica } from '../../../broker/replica/replica.ts'
import { stampBatch } from '../../../client/protocol/batch.ts'
import { ErrorCode, errorName } from '../../../client/protocol/errors.ts'
import { type BatchOptions, encodeBatch } from '../../../client/protocol/record.ts'
import {
  type BrokerId,
  type LeaderEpoch,
  type Offset,
  type ProducerEpoch,
  type ProducerId,
} from '../../../client/protocol/types.ts'

const WALL_MS = 1_700_000_000_000
const SELF = [1 as BrokerId]

export interface ScriptOptions {
  readonly config?: Partial<LogConfig>
  readonly lagTimeMaxMs?: number
}

interface Line {
  readonly words: readonly string[]
  readonly named: ReadonlyMap<string, string>
}

export class ScriptedReplica {
  readonly replica: Replica<string>
  nowMs = 0
  #activeBytes = 0
  #partitionEpoch = 0

  constructor(options: ScriptOptions = {}) {
    const log = new LogState({
      config: { ...DEFAULT_LOG_CONFIG, ...options.config },
      logStartOffset: 0 as Offset,
      logEndOffset: 0 as Offset,
      epochs: [],
      producers: new ProducerState(0 as Offset),
      rollJitter: 0,
    })
    const lagTimeMaxMs = (): number => options.lagTimeMaxMs ?? Infinity
    this.replica = new Replica({ brokerId: 1 as BrokerId, log, highWatermark: 0 as Offset, lagTimeMaxMs })
  }

  /** The script with the lines of effects as they really are: equal to it when all is well. */
  run(script: string): string {
    const output: string[] = []
    for (const line of script.split('\n')) {
      const text = line.trim()
      if (text.startsWith('>')) {
        output.push(text, ...this.#event(parse(text.slice(1))).map(effect => `  ${effect}`))
      } else if (text === '?' || text.startsWith('? ')) output.push('?', `  ${this.describe()}`)
      else if (text === '' || text.startsWith('#')) output.push(text)
    }
    return output.join('\n')
  }

  describe(): string {
    const { log, highWatermark, lastStableOffset } = this.replica
    const disk = `durable ${log.durableOffset} written ${log.writtenOffset} end ${log.logEndOffset}`
    return `start ${log.logStartOffset} stable ${lastStableOffset} high ${highWatermark} ${disk}`
  }

  #event(line: Line): string[] {
    const event = this.#eventOf(line)
    if (event === null) return []
    return this.replica.step(event, this.nowMs).map(effect => this.#describeEffect(effect))
  }

  #eventOf({ words, named }: Line): ReplicaEvent<string> | null {
    const [name, first] = words
    const number = (word: string | undefined): number => Number(word)
    switch (name) {
      case 'wait':
        this.nowMs += number(first)
        return null
      case 'produce':
        return this.#produce(first!, named)
      case 'written':
      case 'synced':
        return { type: name, endOffset: number(first) as Offset }
      case 'write-failed':
        return { type: name, endOffset: number(first) as Offset, message: 'disk full' }
      case 'tick':
        return { type: 'tick' }
      case 'become-leader':
        return this.#becomeLeader(number(first) as LeaderEpoch, named)
      case 'become-follower':
        return { type: 'become-follower', epoch: number(first) as LeaderEpoch }
      case 'isr-refused':
        return { type: 'isr-refused', epoch: this.replica.leaderEpoch, revision: number(first) }
      case 'fetched':
        return {
          type: 'follower-fetched',
          replica: number(first) as BrokerId,
          fetchOffset: number(words[2]) as Offset,
          brokerEpoch: number(named.get('process') ?? '0'),
          logStartOffset: number(named.get('start') ?? '0') as Offset,
          mayJoin: !words.includes('fenced'),
        }
      case 'replicate':
        return this.#replicate(words, named)
      case 'truncated':
        return {
          type: 'truncated',
          endOffset: number(first) as Offset,
          producers: words.includes('epochs') ? null : new ProducerState(0 as Offset),
        }
      case 'started-over':
        return { type: 'started-over', offset: number(first) as Offset }
      case 'resign':
        return { type: 'resign', error: ErrorCode.NOT_LEADER_OR_FOLLOWER }
      case 'move-start':
        return { type: 'move-start', offset: number(first) as Offset }
      case 'configure':
        return { type: 'configure', config: { ...this.replica.log.config, ...configOf(named) } }
      default:
        throw new Error(`no event is called ${name}`)
    }
  }

  /**
   * What is not said is as in the last one of them; each is a change of its own, unless it says that some were
   * missed.
   */
  #becomeLeader(epoch: LeaderEpoch, named: ReadonlyMap<string, string>): ReplicaEvent<string> {
    const { replicas, isr } = this.replica.inSync
    const missed = Number(named.get('missed') ?? 0)
    this.#partitionEpoch += 1 + missed
    return {
      type: 'become-leader',
      epoch,
      partitionEpoch: this.#partitionEpoch,
      revision: Number(named.get('revision') ?? this.#partitionEpoch),
      replicas: named.has('replicas')
        ? brokers(named.get('replicas')!)
        : replicas.length > 0
          ? replicas
          : SELF,
      isr: named.has('isr') ? brokers(named.get('isr')!) : isr.length > 0 ? isr : SELF,
      ...(named.has('elr') ? { elr: brokers(named.get('elr')!) } : {}),
    }
  }

  /** `replicate <epoch> <base offset> records=3 of=<epoch of the batch> high=.. start=..`; records=0: nothing new. */
  #replicate(words: readonly string[], named: ReadonlyMap<string, string>): ReplicaEvent<string> {
    const epoch = Number(words[1]) as LeaderEpoch
    const count = Number(named.get('records') ?? 1)
    const [producer, producerEpoch] = (named.get('pid') ?? '').split('/')
    const batch = Array.from({ length: count }, () => ({ value: 'x', timestamp: WALL_MS }))
    const records = count === 0 ? null : encodeBatch(batch, producerOf(producer!, producerEpoch, named))
    const leaderEpoch = Number(named.get('of') ?? epoch) as LeaderEpoch
    if (records !== null) stampBatch(records, 0, Number(words[2]) as Offset, leaderEpoch)
    return {
      type: 'replicate',
      epoch,
      records,
      highWatermark: Number(named.get('high') ?? 0),
      logStartOffset: Number(named.get('start') ?? 0),
      wallMs: WALL_MS + this.nowMs,
      active: this.#active(),
    }
  }

  #active(): SegmentFacts {
    return {
      baseOffset: 0 as Offset,
      sizeBytes: this.#activeBytes,
      largestTimestamp: WALL_MS,
      firstTimestamp: WALL_MS,
      createdMs: WALL_MS,
      indexFull: false,
    }
  }

  #produce(token: string, named: ReadonlyMap<string, string>): ReplicaEvent<string> {
    const [producer, epoch] = (named.get('pid') ?? '').split('/')
    const count = Number(named.get('records') ?? 1)
    const value = 'x'.repeat(Number(named.get('bytes') ?? 1))
    const records = encodeBatch(
      Array.from({ length: count }, () => ({ value, timestamp: WALL_MS })),
      producerOf(producer!, epoch, named),
    )
    const acks = named.get('acks') ?? 'all'
    return {
      type: 'produce',
      token,
      records,
      acks: acks === 'all' ? -1 : (Number(acks) as 0 | 1),
      timeoutMs: Number(named.get('timeout') ?? 30_000),
      wallMs: WALL_MS + this.nowMs,
      active: this.#active(),
      transactionVerified: named.has('verified'),
    }
  }

  #describeEffect(effect: ReplicaEffect<string>): string {
    switch (effect.type) {
      case 'append': {
        const { baseOffset, lastOffset, leaderEpoch, bytes } = effect.batch
        this.#activeBytes += bytes.length
        return `append ${baseOffset}..${lastOffset} epoch ${leaderEpoch}`
      }
      case 'roll':
        this.#activeBytes = 0
        return `roll ${effect.baseOffset} producers ${effect.producers.length}`
      case 'reply': {
        const time = effect.logAppendTimeMs === -1 ? '' : ` time +${effect.logAppendTimeMs - WALL_MS}`
        if (effect.error === ErrorCode.NONE) return `reply ${effect.token} offset ${effect.baseOffset}${time}`
        return `reply ${effect.token} ${errorName(effect.error)}`
      }
      case 'set-timer':
        return `timer ${effect.atMs}`
      case 'propose-isr': {
        const members = effect.isr.map(({ broker, brokerEpoch }) => `${broker}/${brokerEpoch}`)
        return `propose ${members.join(',')} under ${effect.revision}`
      }
      case 'start-moved':
        return `start-moved ${effect.offset}`
      default:
        return effect.type
    }
  }
}

function parse(text: string): Line {
  const words: string[] = []
  const named = new Map<string, string>()
  for (const word of text.trim().split(/\s+/)) {
    const at = word.indexOf('=')
    if (at === -1) words.push(word)
    else named.set(word.slice(0, at), word.slice(at + 1))
  }
  for (const flag of ['transactional', 'verified']) if (words.includes(flag)) named.set(flag, 'yes')
  return { words, named }
}

function producerOf(
  producer: string,
  epoch: string | undefined,
  named: ReadonlyMap<string, string>,
): BatchOptions {
  if (producer === '') return {}
  return {
    producerId: BigInt(producer) as ProducerId,
    producerEpoch: Number(epoch ?? 0) as ProducerEpoch,
    baseSequence: Number(named.get('seq')),
    isTransactional: named.has('transactional'),
  }
}

function brokers(text: string): BrokerId[] {
  return text.split(',').map(id => Number(id) as BrokerId)
}

function configOf(named: ReadonlyMap<string, string>): Partial<LogConfig> {
  return Object.fromEntries(
    Array.from(named, ([name, value]) => [
      name,
      value === 'true' ? true : value === 'false' ? false : Number(value),
    ]),
  )
}

/** A test that is such a script: its effects and states must be those that really follow. */
export function story(name: string, script: string, options: ScriptOptions = {}): void {
  t.test(name, t => {
    const lines = script
      .split('\n')
      .map(line => (/^\s*[>?#]/.test(line) || line.trim() === '' ? line.trim() : `  ${line.trim()}`))
      .join('\n')
    t.equal(new ScriptedReplica(options).run(lines), lines)
    t.end()
  })
}
