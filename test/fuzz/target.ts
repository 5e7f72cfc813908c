/**
 * What every part of the fuzzer has in common: a target runs cases, a case follows from its chance alone, and whatever
 * breaks a promise is thrown as a `Violation`.
 */
import { type Chance } from './chance.ts'

export class Violation extends Error {
  override readonly name = 'Violation'
}

/** An input kept the event loop for too long. */
export class Hang extends Violation {}

/** Watches over the inputs of one case. */
export interface Probe {
  /** The next input begins: the time until the next one, or the end of the case, is its own. */
  input(bytes: Uint8Array, note: string): void
  /** What follows is not the doing of an input: checks, set-up. */
  pause(): void
}

export interface Target {
  readonly name: string
  /** How much of the time it gets, beside the others. */
  readonly share: number
  /** Throws a `Violation` where a promise is broken; any other error is a crash. */
  run(chance: Chance, probe: Probe): Promise<void>
  /** Called once at the end. */
  close?(): Promise<void>
  /** Memory of the process under test, where that is not this one. */
  memoryMb?(): Promise<number | null>
}

export function demand(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Violation(message)
}

/** Text for a report: what went wrong, and with what. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `\n  caused by ${describeError(error.cause)}`
  return `${error.stack ?? `${error.name}: ${error.message}`}${cause}`
}
