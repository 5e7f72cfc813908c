/**
 * Whether replicas hold the same: what any two of them have below their high watermarks must be the same batches at the
 * same offsets. Each batch is looked at once, when the high watermark of its replica passes it. It watches the logs
 * being written to, and touches nothing of them. Compacted logs are left out: each replica compacts its own.
 */
import { type PartitionHost } from '../../broker/runtime/partition-host.ts'
import { PartitionLog } from '../../broker/storage/partition-log.ts'
import { Violation } from './world/violation.ts'

interface WrittenBatch {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly epoch: number
  readonly crc: number
}

/** What was written to one log in this life of it, oldest first; forgotten once compared. */
interface Mirror {
  readonly log: PartitionLog
  readonly batches: WrittenBatch[]
}

const BASE_OFFSET = 0
const LENGTH = 8
const EPOCH = 12
const CRC = 17
const LAST_OFFSET_DELTA = 23
const LENGTH_ENDS = 12

export class LogMatching {
  /** By the folder of the log. */
  readonly #mirrors = new Map<string, Mirror>()
  /** By partition, what is known to be committed, by base offset. */
  readonly #committed = new Map<string, Map<number, WrittenBatch & { readonly broker: number }>>()
  readonly #undo: () => void

  constructor() {
    const mirrors = this.#mirrors
    const original = PartitionLog.prototype.append
    PartitionLog.prototype.append = function (this: PartitionLog, batch) {
      original.call(this, batch)
      let mirror = mirrors.get(this.directory)
      if (mirror?.log !== this) mirrors.set(this.directory, (mirror = { log: this, batches: [] }))
      note(mirror.batches, Buffer.from(batch.bytes.buffer, batch.bytes.byteOffset, batch.bytes.length))
    }
    this.#undo = () => {
      PartitionLog.prototype.append = original
    }
  }

  /** Takes its eyes off all logs. */
  end(): void {
    this.#undo()
  }

  /** Everything below the high watermark of that replica is compared with what others have had. Throws a Violation. */
  committed(broker: number, host: PartitionHost, highWatermark: number): void {
    if (host.state.config.cleanupPolicy.includes('compact')) return
    const mirror = this.#mirrors.get(host.directory)
    if (mirror === undefined) return
    const name = `${host.topicId}/${host.partition}`
    let known = this.#committed.get(name)
    if (known === undefined) this.#committed.set(name, (known = new Map()))
    const { batches } = mirror
    let count = 0
    for (; count < batches.length && batches[count]!.lastOffset < highWatermark; count++) {
      const batch = batches[count]!
      // It is gone, committed or not: a log that starts over behind its end has dropped what it had.
      if (batch.lastOffset < host.state.logStartOffset) continue
      const other = known.get(batch.baseOffset)
      if (other === undefined) known.set(batch.baseOffset, { ...batch, broker })
      else if (
        other.crc !== batch.crc ||
        other.epoch !== batch.epoch ||
        other.lastOffset !== batch.lastOffset
      )
        throw new Violation(
          'logs-differ',
          `${host.name}@${batch.baseOffset}: broker ${other.broker} committed ${say(other)}, broker ${broker} ${say(batch)}`,
        )
    }
    if (count > 0) batches.splice(0, count)
  }
}

function note(batches: WrittenBatch[], bytes: Buffer): void {
  for (let at = 0; at + CRC < bytes.length; at += LENGTH_ENDS + bytes.readInt32BE(at + LENGTH)) {
    const baseOffset = Number(bytes.readBigInt64BE(at + BASE_OFFSET))
    // What was there before was cut off.
    while (batches.length > 0 && batches.at(-1)!.lastOffset >= baseOffset) batches.pop()
    batches.push({
      baseOffset,
      lastOffset: baseOffset + bytes.readInt32BE(at + LAST_OFFSET_DELTA),
      epoch: bytes.readInt32BE(at + EPOCH),
      crc: bytes.readUInt32BE(at + CRC),
    })
  }
}

function say({ lastOffset, epoch, crc }: WrittenBatch): string {
  return `up to ${lastOffset} of epoch ${epoch} with checksum ${crc.toString(16)}`
}
