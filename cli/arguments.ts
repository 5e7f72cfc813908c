/**
 * Positional arguments. oclif reads a missing one from standard input, which would eat the records of `produce` and
 * hang where standard input stays open: ours never do.
 */
import { string } from '@oclif/core/args'

export function requiredArgument(description: string) {
  return string({ required: true, ignoreStdin: true, description })
}

export function optionalArgument(description: string) {
  return string({ ignoreStdin: true, description })
}
