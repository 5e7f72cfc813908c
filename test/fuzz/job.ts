/** What the fuzzer and its worker say to each other. */
import { type Finding } from './runner.ts'

export interface Job {
  readonly seed: number
  readonly seconds: number
  readonly targets: readonly string[]
  /** The first case of each target. */
  readonly from: Readonly<Record<string, number>>
  /** Run exactly this many cases of each target, whatever the time. */
  readonly cases: number | null
}

export type Report =
  | { readonly type: 'begin'; readonly target: string; readonly case: number }
  | {
      readonly type: 'end'
      readonly target: string
      readonly case: number
      readonly inputs: number
      readonly finding: Finding | null
    }
  | { readonly type: 'memory'; readonly rssMb: number; readonly heapMb: number }
  | { readonly type: 'done' }
