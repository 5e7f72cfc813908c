/** Real chance: fast where nobody gains by guessing, strong where somebody might. */
import { randomBytes } from 'node:crypto'
import { type Random } from '../env.ts'

export function createNodeRandom(): Random {
  return {
    float: () => Math.random(),
    int: below => Math.floor(Math.random() * below),
    bytes: length => randomBytes(length),
  }
}
