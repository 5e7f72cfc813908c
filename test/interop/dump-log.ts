/** kafka-dump-log over the files of a data folder, and what it complains of. */
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { kafkaTool } from './kafka-tools.ts'

const DUMP = 'kafka.tools.DumpLogSegments'
const SUFFIXES = ['.log', '.index', '.timeindex', '.snapshot', '.txnindex']

export interface Dumped {
  /** Every line that tells of something wrong. */
  readonly complaints: string[]
  /** Batches that it walked over, by partition folder. */
  readonly batches: ReadonlyMap<string, number>
  readonly records: ReadonlyMap<string, number>
  /** Entries of producer snapshots. */
  readonly producers: number
  readonly files: readonly string[]
}

/**
 * Dumps all files of the partitions whose topic begins with `prefix`. The folder is copied first, because the
 * tool opens indexes in a way that may grow them.
 */
export async function dumpFolder(dataFolder: string, prefix: string): Promise<Dumped> {
  const home = await mkdtemp(join(tmpdir(), 'sluice-dump-'))
  try {
    const files: string[] = []
    for (const folder of await readdir(dataFolder)) {
      if (!folder.startsWith(prefix) || folder.endsWith('-delete')) continue
      await cp(join(dataFolder, folder), join(home, folder), {
        recursive: true,
        filter: source => !/\.deleted$|\.spare/.test(source),
      })
      for (const name of await readdir(join(home, folder))) {
        if (SUFFIXES.some(suffix => name.endsWith(suffix))) files.push(join(folder, name))
      }
    }
    const paths = files.map(file => join(home, file)).join(',')
    const deep = await kafkaTool(DUMP, ['--deep-iteration', '--files', paths])
    const indexes = files.filter(file => file.endsWith('index'))
    const indexPaths = indexes.map(file => join(home, file)).join(',')
    const checks: string[] = []
    for (const flag of indexes.length > 0 ? ['--index-sanity-check', '--verify-index-only'] : []) {
      checks.push(await kafkaTool(DUMP, [flag, '--files', indexPaths]))
    }
    return { ...readDump(deep), complaints: [deep, ...checks].flatMap(complaintsIn), files }
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

const FINE =
  /^(Dumping |Log starting offset: |\| offset: |baseOffset: |offset: |timestamp: |producerId: |.* passed sanity check\.$|$)/

function complaintsIn(output: string): string[] {
  return output.split('\n').filter(line => !FINE.test(line) || /isvalid: false/.test(line))
}

function readDump(output: string): Pick<Dumped, 'batches' | 'records' | 'producers'> {
  const batches = new Map<string, number>()
  const records = new Map<string, number>()
  let producers = 0
  let folder = ''
  for (const line of output.split('\n')) {
    const path = /^Dumping (\S+)/.exec(line)?.[1]
    if (path !== undefined) folder = path.split('/').at(-2) ?? ''
    if (line.startsWith('baseOffset: ')) batches.set(folder, (batches.get(folder) ?? 0) + 1)
    if (line.startsWith('| offset: ')) records.set(folder, (records.get(folder) ?? 0) + 1)
    if (line.startsWith('producerId: ')) producers++
  }
  return { batches, records, producers }
}
