/** Reads `NAME=VALUE` and names of configs from the command line. Pure. */
import { usageError } from './errors.ts'

/** Throws CliError where one has no `=` or no name. */
export function parseAssignments(assignments: readonly string[]): Record<string, string> {
  const entries = assignments.map((assignment): [string, string] => {
    const at = assignment.indexOf('=')
    if (at <= 0)
      throw usageError(
        `${JSON.stringify(assignment)} sets nothing: write NAME=VALUE, as retention.ms=3600000.`,
      )
    return [assignment.slice(0, at).trim(), assignment.slice(at + 1)]
  })
  return Object.fromEntries(entries)
}
