/** What can go wrong with a workload without anybody's code being at fault: its message is for the person who ran it. */

export class WorkloadError extends Error {
  override readonly name = 'WorkloadError'
}
