/**
 * Micro benchmark of the record batch code: checksums, codecs, building and reading batches. Prints one line per
 * figure. Run with `node --import=tsx perf/micro/codec.ts`; takes some ten seconds.
 */

import {
  compressLz4Frame,
  decompressLz4Frames,
  lz4BlockCodecs,
} from '../../client/protocol/compression/lz4-frame.ts'
import { compressXerial, decompressSnappy, snappyCodecs } from '../../client/protocol/compression/xerial.ts'
import { CODEC_NAMES, compress, decompress } from '../../client/protocol/compression.ts'
import '../../client/env-node.ts'
import { crc32cNative, crc32cPortable } from '../../client/protocol/crc32c.ts'
import { BatchBuilder, RecordReader } from '../../client/protocol/record.ts'

const ROUND_MS = 300
const CAP = 1 << 28

/** Runs `work` for a while after warming up; returns seconds per call. */
function secondsPerCall(work: () => unknown): number {
  for (let i = 0; i < 3; i++) work()
  let calls = 0
  const start = performance.now()
  let now = start
  do {
    work()
    calls++
    now = performance.now()
  } while (now - start < ROUND_MS)
  return (now - start) / 1000 / calls
}

function report(name: string, value: number, unit: string): void {
  console.log(`${name.padEnd(36)} ${value.toFixed(0).padStart(8)} ${unit}`)
}

/** JSON lines, as records often are: compresses about fourfold. */
function sampleText(bytes: number): Buffer {
  const lines: string[] = []
  for (let id = 0, size = 0; size < bytes; id++) {
    const line = JSON.stringify({
      id,
      name: `user ${(id * 7919) % 1000}`,
      at: 1_700_000_000_000 + id,
      ok: id % 3 === 0,
    })
    lines.push(line)
    size += line.length + 1
  }
  return Buffer.from(lines.join('\n')).subarray(0, bytes)
}

function benchChecksums(text: Buffer): void {
  for (const bytes of [64, 256, 1024, 16_384, 1 << 20]) {
    const piece = text.subarray(0, bytes)
    for (const [name, crc] of [['native', crc32cNative] as const, ['portable', crc32cPortable] as const]) {
      if (crc === null) continue
      const repeat = Math.ceil(65_536 / bytes)
      const seconds = secondsPerCall(() => {
        for (let i = 0; i < repeat; i++) crc(piece)
      })
      report(`crc32c ${name} ${bytes} B`, (bytes * repeat) / seconds / 1e6, 'MB/s')
    }
  }
}

function benchCodec(
  name: string,
  text: Buffer,
  pack: () => Uint8Array,
  unpack: (packed: Uint8Array) => Buffer,
): void {
  const packed = pack()
  report(
    `${name} compress to ${((packed.length * 100) / text.length).toFixed(0)} %`,
    text.length / secondsPerCall(pack) / 1e6,
    'MB/s',
  )
  report(`${name} decompress`, text.length / secondsPerCall(() => unpack(packed)) / 1e6, 'MB/s')
}

function benchCodecs(text: Buffer): void {
  for (const codec of CODEC_NAMES) {
    if (codec === 'none') continue
    benchCodec(
      codec,
      text,
      () => compress(codec, text),
      packed => decompress(codec, packed, CAP),
    )
  }
  for (const codec of Object.values(lz4BlockCodecs)) {
    if (codec === null) continue
    benchCodec(
      `lz4 by ${codec.name}`,
      text,
      () => compressLz4Frame(text, codec),
      packed => decompressLz4Frames(packed, CAP, codec),
    )
  }
  for (const codec of Object.values(snappyCodecs)) {
    if (codec === null) continue
    benchCodec(
      `snappy by ${codec.name}`,
      text,
      () => compressXerial(text, codec),
      packed => decompressSnappy(packed, CAP, codec),
    )
  }
}

function benchRecords(text: Buffer, valueBytes: number): void {
  const key = Buffer.from('key-123456')
  const value = text.subarray(0, valueBytes)
  const valueText = value.toString()
  const count = Math.floor(900_000 / (valueBytes + 20))
  const builder = new BatchBuilder(1 << 20)
  let batch: Buffer = Buffer.alloc(0)
  const build = (content: Buffer | string): void => {
    for (let i = 0; i < count; i++) builder.append(1_700_000_000_000 + i, key, content)
    batch = builder.seal()
  }
  report(`build ${valueBytes} B bytes`, count / secondsPerCall(() => build(value)) / 1000, 'k records/s')
  report(`build ${valueBytes} B text`, count / secondsPerCall(() => build(valueText)) / 1000, 'k records/s')
  const read = (): void => {
    const reader = new RecordReader(batch)
    while (reader.next() !== null);
  }
  report(`read ${valueBytes} B`, count / secondsPerCall(read) / 1000, 'k records/s')
}

const text = sampleText(1 << 20)
benchChecksums(text)
benchCodecs(text)
for (const valueBytes of [20, 1024]) benchRecords(text, valueBytes)
