/**
 * A map as it will be after a decision, over the map as it is: a decision reads and writes through it, and the map
 * below stays untouched until the changes are applied. What a decision costs is what it changes, not what is there.
 */

/** The new value of each key that changed; undefined: removed. */
export type MapChanges<V> = ReadonlyMap<string, V | undefined>

export class Overlay<V> {
  readonly #base: ReadonlyMap<string, V>
  readonly #changes = new Map<string, V | undefined>()
  #size: number

  constructor(base: ReadonlyMap<string, V>) {
    this.#base = base
    this.#size = base.size
  }

  get size(): number {
    return this.#size
  }

  get changes(): MapChanges<V> {
    return this.#changes
  }

  get(key: string): V | undefined {
    return this.#changes.has(key) ? this.#changes.get(key) : this.#base.get(key)
  }

  has(key: string): boolean {
    return this.get(key) !== undefined
  }

  set(key: string, value: V): void {
    if (!this.has(key)) this.#size++
    this.#changes.set(key, value)
  }

  delete(key: string): void {
    if (!this.has(key)) return
    this.#size--
    this.#changes.set(key, undefined)
  }

  clear(): void {
    for (const key of [...this.keys()]) this.delete(key)
  }

  /** In the order in which the keys came to the map below, then the new ones. Values may be set during the walk. */
  *values(): Generator<V> {
    for (const [key, value] of this.#base) {
      const now = this.#changes.has(key) ? this.#changes.get(key) : value
      if (now !== undefined) yield now
    }
    for (const [key, value] of this.#changes) if (value !== undefined && !this.#base.has(key)) yield value
  }

  *entries(): Generator<[string, V]> {
    for (const key of this.keys()) yield [key, this.get(key)!]
  }

  *keys(): Generator<string> {
    for (const key of this.#base.keys())
      if (!this.#changes.has(key) || this.#changes.get(key) !== undefined) yield key
    for (const [key, value] of this.#changes) if (value !== undefined && !this.#base.has(key)) yield key
  }
}

export function applyChanges<V>(map: Map<string, V>, changes: MapChanges<V>): void {
  for (const [key, value] of changes) {
    if (value === undefined) map.delete(key)
    else map.set(key, value)
  }
}
