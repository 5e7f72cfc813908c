/** The order of keys. */

const SURROGATES_START = 0xd800
const SURROGATES_END = 0xe000

/**
 * Orders by Unicode code point, which is the order of the UTF-8 bytes that other stores keep. JavaScript's own order
 * differs where a surrogate pair meets a code unit above all surrogates.
 */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0
  const shorter = Math.min(a.length, b.length)
  for (let at = 0; at < shorter; at++) {
    const left = a.charCodeAt(at)
    const right = b.charCodeAt(at)
    if (left === right) continue
    if (left >= SURROGATES_START && right >= SURROGATES_START)
      return codePointRank(left) - codePointRank(right)
    return left - right
  }
  return a.length - b.length
}

/** Surrogates stand for code points above all others. */
function codePointRank(unit: number): number {
  return unit >= SURROGATES_END ? unit - SURROGATES_END : unit + SURROGATES_END
}

/** Keys in order, each once. */
export class SortedKeys {
  readonly #keys: string[] = []

  get size(): number {
    return this.#keys.length
  }

  at(index: number): string | undefined {
    return this.#keys[index]
  }

  /** Index of the first key that is not less than `key`. */
  lowerBound(key: string): number {
    let low = 0
    let high = this.#keys.length
    // Loading a snapshot appends in order: then the answer is the end.
    if (high > 0 && compareKeys(this.#keys[high - 1]!, key) < 0) return high
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareKeys(this.#keys[middle]!, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  add(key: string): void {
    const at = this.lowerBound(key)
    if (this.#keys[at] !== key) this.#keys.splice(at, 0, key)
  }

  remove(key: string): void {
    const at = this.lowerBound(key)
    if (this.#keys[at] === key) this.#keys.splice(at, 1)
  }

  /** Keeps the keys that `keep` wants. */
  filter(keep: (key: string) => boolean): void {
    let kept = 0
    for (const key of this.#keys) if (keep(key)) this.#keys[kept++] = key
    this.#keys.length = kept
  }
}
