/**
 * Assertions about our own code. They stay on in production: a broker that has noticed a bug must stop rather than
 * answer from a state that nobody understands. Input that came from outside never ends here: what is wrong with bytes
 * from a socket or a disk is a value or a coded error, because a peer must not be able to stop a broker.
 */

/** A bug in Sluice. Nobody may catch it to carry on. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** Throws AssertionError unless `condition` holds. `message` says what was expected, as a statement of fact. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}

/** For the end of a switch over a closed union: a value that the types say cannot be there. */
export function unreachable(value: never): never {
  throw new AssertionError(`unexpected value: ${String(value)}`)
}

/** What was thrown, as an error: in JavaScript anything can be. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}
