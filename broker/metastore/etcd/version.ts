/** Which versions of etcd can be built on. It reads version strings and asks nobody. */

export type Verdict =
  /** Too old to understand us. */
  | 'unsupported'
  /** Understands us, and has bugs that can cost a cluster its metadata. */
  | 'unsound'
  | 'sound'

export const OLDEST_VERSION = '3.4'
export const SOUND_VERSIONS = '3.5.33 or 3.6.14'

/** What an unsound version may do, for a warning. */
export const KNOWN_DEFECTS =
  'watches can lose events after a compaction, revisions can go back after a crash, and leases that are gone can be ' +
  'renewed without a complaint'

/** What cannot be read as a version is unsound. */
export function judgeVersion(version: string): Verdict {
  const parts = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(version)
  if (parts === null) return 'unsound'
  const [major, minor, patch] = [Number(parts[1]), Number(parts[2]), Number(parts[3] ?? 0)]
  // A pre-release is not yet the release that has the fix.
  const isAtLeast = (wanted: number): boolean =>
    patch > wanted || (patch === wanted && !version.includes('-'))
  if (major !== 3) return major < 3 ? 'unsupported' : 'unsound'
  if (minor < 4) return 'unsupported'
  if (minor === 4) return 'unsound'
  if (minor === 5) return isAtLeast(33) ? 'sound' : 'unsound'
  if (minor === 6) return isAtLeast(14) ? 'sound' : 'unsound'
  return 'sound'
}
