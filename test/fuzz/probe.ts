/**
 * Measures how long each input of a case keeps the event loop, and remembers the input, so that what goes wrong can be
 * told with the bytes that did it.
 */
import { type Probe } from './target.ts'

export interface SeenInput {
  readonly number: number
  readonly note: string
  readonly bytes: Buffer
  readonly tookMs: number
}

export class Stopwatch implements Probe {
  inputs = 0
  /** Inputs that took longer than the limit, each with its time. */
  readonly slow: SeenInput[] = []
  readonly #limitMs: number
  #bytes: Uint8Array = new Uint8Array(0)
  #note = ''
  #startedMs: number | null = null

  constructor(limitMs: number) {
    this.#limitMs = limitMs
  }

  input(bytes: Uint8Array, note: string): void {
    this.pause()
    this.inputs++
    this.#bytes = bytes
    this.#note = note
    this.#startedMs = performance.now()
  }

  pause(): void {
    if (this.#startedMs === null) return
    const tookMs = performance.now() - this.#startedMs
    this.#startedMs = null
    if (tookMs > this.#limitMs) this.slow.push(this.#seen(tookMs))
  }

  /** The input that is, or was last, under way. */
  get last(): SeenInput {
    return this.#seen(0)
  }

  #seen(tookMs: number): SeenInput {
    return { number: this.inputs, note: this.#note, bytes: Buffer.from(this.#bytes), tookMs }
  }
}
