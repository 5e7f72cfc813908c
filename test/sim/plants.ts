/** Planted bugs. */
import { type Env } from '../../broker/env.ts'

export interface Plant {
  readonly name: string
  /** Changes the code under test; the returned function undoes it. */
  readonly plant: () => () => void
  readonly wrapEnv?: (env: Env) => Env
}

export const PLANTS: readonly Plant[] = []
