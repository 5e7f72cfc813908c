/**
 * The fuzzer's source of chance: everything about one case follows from the seed, the target and the case's number, so
 * any case can be run again alone. It must never be mixed with chance from elsewhere.
 */
import { SeededRandom } from '../../broker/env-memory/random.ts'

/** Numbers at which code that counts, adds or shifts goes wrong. */
const EDGES: readonly number[] = [
  0, 1, -1, -2, 2, 7, 8, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, -0x8000, 0xffff, 0x1_0000, 0x7fff_ffff,
  -0x8000_0000, -0x7fff_ffff,
]

const BIG_EDGES: readonly number[] = [
  0xffff_ffff,
  0x1_0000_0000,
  Number.MAX_SAFE_INTEGER,
  -Number.MAX_SAFE_INTEGER,
  Number.MAX_SAFE_INTEGER - 1,
]

export class Chance {
  readonly #random: SeededRandom

  private constructor(random: SeededRandom) {
    this.#random = random
  }

  static of(seed: number, target: string, index: number): Chance {
    let mixed = seed | 0
    for (const unit of `${target}/${index}`) mixed = Math.imul(mixed ^ unit.codePointAt(0)!, 0x01000193)
    return new Chance(new SeededRandom(mixed))
  }

  /** A stream of its own: draws from it do not shift what others draw. */
  fork(): Chance {
    return new Chance(this.#random.fork())
  }

  /** An integer in [0, below). */
  int(below: number): number {
    return this.#random.int(below)
  }

  /** An integer in [from, to]. */
  between(from: number, to: number): number {
    return from + this.#random.int(to - from + 1)
  }

  /** True once in `outOf` times. */
  once(outOf: number): boolean {
    return this.#random.int(outOf) === 0
  }

  pick<T>(from: readonly T[]): T {
    return from[this.#random.int(from.length)]!
  }

  bytes(length: number): Buffer {
    return Buffer.from(this.#random.bytes(length))
  }

  /** Mostly small, now and then large: the way lengths are. */
  size(max: number): number {
    const bits = this.#random.int(Math.ceil(Math.log2(max + 1)) + 1)
    return Math.min(max, this.#random.int(2 ** bits))
  }

  /** An edge, or any number, of so many bits. */
  integer(bits: 8 | 16 | 32 | 64): number {
    const limit = bits === 64 ? Number.MAX_SAFE_INTEGER : 2 ** (bits - 1) - 1
    const edges = bits === 64 ? [...EDGES, ...BIG_EDGES] : EDGES
    const value = this.once(3) ? Math.floor((this.#random.float() * 2 - 1) * limit) : this.pick(edges)
    return Math.min(limit, Math.max(bits === 64 ? -limit : -limit - 1, value))
  }
}
