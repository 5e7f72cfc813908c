/**
 * How a compaction shares the machine with those who wait for an answer: the interface that it asks. Who implements it
 * knows the clock and the configured bandwidth.
 */
export interface Pace {
  /** To be asked after every small piece of work: true when it is time to let others have their turn. */
  isOver(): boolean
  /** Resolves when the others have had their turn. */
  rest(): Promise<void>
  /** So many bytes were read or written; resolves when the next may be, or soon after `isWanted` is false. */
  moved(bytes: number, isWanted: () => boolean): Promise<void>
  /** Runs what keeps the disk from others, and lets those have it for a while afterwards. */
  disk(work: () => Promise<void>): Promise<void>
}

/** Records looked at between two questions. */
export const RECORDS_PER_LOOK = 64

/** Whoever wanted the compaction wants it no more: the log is being closed or deleted. */
export class CleaningGivenUp extends Error {
  override readonly name = 'CleaningGivenUp'
}
