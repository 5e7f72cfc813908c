/**
 * A writer that remembers where on the wire the lengths, counts and numbers stand, so that a mutation can make exactly
 * one of them lie and leave all the rest of a message as it was.
 */
import { Writer } from '../../client/protocol/writer.ts'

export type SiteKind = 'int8' | 'int16' | 'int32' | 'int64' | 'uvarint' | 'content'

export interface Site {
  readonly kind: SiteKind
  readonly at: number
  /** One beyond its last byte. */
  readonly end: number
  /** A length or a count: what follows depends on it. */
  readonly isLength: boolean
}

export class SiteWriter extends Writer {
  readonly sites: Site[] = []
  #depth = 0

  #mark(kind: SiteKind, isLength: boolean, write: () => void): void {
    const at = this.byteLength
    this.#depth++
    write()
    this.#depth--
    this.sites.push({ kind, at, end: this.byteLength, isLength })
  }

  override int8(value: number): void {
    this.#mark('int8', this.#depth > 0, () => super.int8(value))
  }
  override int16(value: number): void {
    this.#mark('int16', this.#depth > 0, () => super.int16(value))
  }
  override int32(value: number): void {
    this.#mark('int32', this.#depth > 0, () => super.int32(value))
  }
  override int64(value: number): void {
    this.#mark('int64', false, () => super.int64(value))
  }
  override bigInt64(value: bigint): void {
    this.#mark('int64', false, () => super.bigInt64(value))
  }
  override uvarint(value: number): void {
    this.#mark('uvarint', true, () => super.uvarint(value))
  }
  override arrayLength(array: readonly unknown[]): void {
    this.#mark('content', false, () => super.arrayLength(array))
  }
  override string(value: string): void {
    this.#text('int16', value === '' ? 0 : 2, () => super.string(value))
  }
  override compactString(value: string): void {
    this.#text('uvarint', 1, () => super.compactString(value))
  }
  override bytes(value: Uint8Array): void {
    this.#mark('content', false, () => super.bytes(value))
  }
  override records(value: Uint8Array | readonly Uint8Array[] | null): void {
    this.#mark('content', false, () => super.records(value))
  }
  override nested(): Writer {
    return new SiteWriter()
  }
  override append(other: Writer): void {
    const base = this.byteLength
    super.append(other)
    if (!(other instanceof SiteWriter)) return
    for (const site of other.sites) this.sites.push({ ...site, at: site.at + base, end: site.end + base })
  }

  /** Short strings are written in one go, length and all: their length is in front. */
  #text(kind: 'int16' | 'uvarint', lengthBytes: number, write: () => void): void {
    const at = this.byteLength
    this.#mark('content', false, write)
    if (lengthBytes === 0) return
    // It is among the last ones, if it is there: looking through all would be quadratic.
    const isKnown = this.sites.slice(-3).some(site => site.at === at && site.kind === kind)
    if (!isKnown) this.sites.push({ kind, at, end: at + lengthBytes, isLength: true })
  }
}
