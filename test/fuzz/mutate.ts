/**
 * What is done to the bytes of a good message: one of its lengths lies, a part of it is missing, doubled, flipped or
 * replaced by a part of another one.
 */
import { type Chance } from './chance.ts'
import { type Site } from './site-writer.ts'

export interface Marked {
  readonly bytes: Buffer
  readonly sites: readonly Site[]
}

/** One to three mutations, the structural ones first, as sites are where the writer has put them. */
export function mutate({ bytes, sites }: Marked, other: Buffer, chance: Chance): Buffer {
  let result = bytes
  if (sites.length > 0 && !chance.once(4)) {
    const chosen = Array.from({ length: chance.once(3) ? 2 : 1 }, () => chooseSite(sites, chance))
    // From the back, so that what is in front keeps its place; what lies in what was replaced is gone.
    let end = Number.POSITIVE_INFINITY
    for (const site of chosen.sort((left, right) => right.at - left.at)) {
      if (site.end <= end) result = lie(result, site, chance)
      end = site.at
    }
    if (!chance.once(4)) return result
  }
  return mutateRaw(result, other, chance)
}

function chooseSite(sites: readonly Site[], chance: Chance): Site {
  const lengths = sites.filter(site => site.isLength)
  return lengths.length > 0 && !chance.once(4) ? chance.pick(lengths) : chance.pick(sites)
}

function lie(bytes: Buffer, site: Site, chance: Chance): Buffer {
  const replacement = replacementFor(bytes, site, chance)
  return Buffer.concat([bytes.subarray(0, site.at), replacement, bytes.subarray(site.end)])
}

function replacementFor(bytes: Buffer, { kind, at, end }: Site, chance: Chance): Buffer {
  switch (kind) {
    case 'int8':
      return Buffer.from([chance.integer(8) & 0xff])
    case 'int16': {
      const value = nearOrAny(bytes.readInt16BE(at), 16, chance)
      return Buffer.from([(value >> 8) & 0xff, value & 0xff])
    }
    case 'int32': {
      const value = Buffer.alloc(4)
      value.writeInt32BE(nearOrAny(bytes.readInt32BE(at), 32, chance))
      return value
    }
    case 'int64': {
      const value = Buffer.alloc(8)
      value.writeBigInt64BE(chance.once(3) ? chance.bytes(8).readBigInt64BE() : BigInt(chance.integer(64)))
      return value
    }
    case 'uvarint':
      return hostileUvarint(bytes, at, end, chance)
    case 'content': {
      const part = bytes.subarray(at, end)
      if (chance.once(3)) return Buffer.alloc(0)
      if (chance.once(2)) return Buffer.concat([part, part])
      return chance.bytes(part.length)
    }
    default:
      return kind satisfies never
  }
}

function nearOrAny(value: number, bits: 16 | 32, chance: Chance): number {
  const limit = 2 ** (bits - 1)
  const near = value + chance.pick([-2, -1, 1, 2, 100])
  return chance.once(2) ? chance.integer(bits) : Math.max(-limit, Math.min(limit - 1, near))
}

function hostileUvarint(bytes: Buffer, at: number, end: number, chance: Chance): Buffer {
  switch (chance.int(6)) {
    case 0:
      return Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f])
    case 1:
      // More than 32 bits, or without an end.
      return Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f].slice(chance.int(5)))
    case 2:
      // Padded.
      return Buffer.concat([Buffer.from([(bytes[at] ?? 0) | 0x80]), Buffer.from([0x80, 0x80, 0])])
    case 3:
      return Buffer.from([0])
    case 4:
      return Buffer.from([Math.min(0x7f, (bytes[end - 1] ?? 0) + 1)])
    default:
      return uvarint(chance.size(0xffff_ffff))
  }
}

export function uvarint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value >>> 0
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  bytes.push(rest)
  return Buffer.from(bytes)
}

/** Mutations that know nothing of what the bytes mean. */
export function mutateRaw(bytes: Buffer, other: Buffer, chance: Chance): Buffer {
  if (bytes.length === 0) return chance.bytes(chance.size(20))
  switch (chance.int(7)) {
    case 0: {
      const flipped = Buffer.from(bytes)
      for (let left = 1 + chance.int(4); left > 0; left--)
        flipped[chance.int(bytes.length)]! ^= 1 << chance.int(8)
      return flipped
    }
    case 1:
      return bytes.subarray(0, chance.int(bytes.length))
    case 2: {
      const at = chance.int(bytes.length)
      return Buffer.concat([bytes.subarray(0, at), other.subarray(chance.int(other.length + 1))])
    }
    case 3: {
      const from = chance.int(bytes.length)
      const to = Math.min(bytes.length, from + chance.size(64))
      return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)])
    }
    case 4: {
      const from = chance.int(bytes.length)
      const part = bytes.subarray(from, Math.min(bytes.length, from + 1 + chance.size(64)))
      const times = 1 + chance.size(50)
      return Buffer.concat([bytes.subarray(0, from), ...Array(times).fill(part), bytes.subarray(from)])
    }
    case 5: {
      const at = chance.int(bytes.length)
      const filled = Buffer.from(bytes)
      filled.fill(chance.pick([0, 0xff, 0x7f, 0x80]), at, Math.min(bytes.length, at + 1 + chance.size(16)))
      return filled
    }
    default: {
      const at = chance.int(bytes.length + 1)
      return Buffer.concat([bytes.subarray(0, at), chance.bytes(1 + chance.size(64)), bytes.subarray(at)])
    }
  }
}
