/** The figures of one `npm run bench`, as its reports and the history take them. Types only. */

/** One case, measured. */
export interface Measured {
  readonly name: string
  readonly title: string
  /** MiB/s by round. */
  readonly broker: readonly number[]
  readonly pipe: readonly number[]
  readonly brokerMedian: number
  readonly pipeMedian: number
  /** Median of the rounds' ratios. */
  readonly ratio: number
  /** Half the interquartile range of the ratios, as a share of their median. */
  readonly spread: number
  readonly target: number
  /** Largest share of its time for which the load generator was busy: near 1 it is the limit, not the broker. */
  readonly driverBusy: number
  readonly brokerResidentBytes: number
}

export interface BenchRun {
  readonly date: string
  readonly commit: string
  readonly node: string
  readonly machine: string
  readonly rounds: number
  readonly seconds: number
  readonly connections: number
  readonly results: readonly Measured[]
}
