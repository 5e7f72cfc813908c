/** How long a piece of work takes, on a machine that is busy with others too. */

/**
 * Milliseconds that this process has worked for, on all its threads: unlike time on the wall it does not grow with what
 * others take of the processor, so a limit to it holds on a busy machine.
 */
export function workedMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
