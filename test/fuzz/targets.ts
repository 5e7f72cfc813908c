/** All targets, by name. */
import { brokerTarget } from './broker-target.ts'
import { clientTarget } from './client-target.ts'
import { codecTarget } from './codec-target.ts'
import { filesTarget } from './files-target.ts'
import { processTarget } from './process-target.ts'
import { type Target } from './target.ts'

export const TARGETS: readonly Target[] = [
  codecTarget,
  brokerTarget,
  filesTarget,
  clientTarget,
  processTarget,
]
