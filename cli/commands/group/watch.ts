/** `sluice group watch`: a table of groups, or of the partitions of one, that is kept up to date. */
import { setTimeout as sleep } from 'node:timers/promises'
import { integer, string } from '@oclif/core/flags'
import { optionalArgument } from '../../arguments.ts'
import { BaseCommand, connectionFlags, outputFlags } from '../../base-command.ts'
import { usageError } from '../../errors.ts'
import { GROUP_COLUMNS, type GroupLook, GroupWatcher, PLACE_COLUMNS } from '../../group-watch.ts'
import { Live } from '../../output/live.ts'
import { jsonValue, renderTable, toYaml } from '../../output/present.ts'
import { onOutputClosed, outputClosed, writeOut } from '../../output/writer.ts'
import { parseDuration } from '../../settings.ts'
import { paint } from '../../terminal.ts'

export class GroupWatch extends BaseCommand {
  static override readonly summary = 'Watch groups: state, members, lag, and how fast they read'
  static override readonly description =
    'All groups, or with a name the partitions of one, which need not exist yet. On a terminal the table is kept up to ' +
    'date; elsewhere there is one after another, or with -o json an object per line. records/s is what was committed ' +
    'in the interval. Ctrl-C ends it.'
  static override readonly examples = [
    '$ sluice group watch',
    '$ sluice group watch billing --interval 500ms',
    '$ sluice group watch billing -o json -n 10',
  ]
  static override readonly args = { group: optionalArgument('name of a group; default: all') }
  static override readonly flags = {
    ...connectionFlags,
    ...outputFlags,
    interval: string({ char: 'i', default: '1s', helpValue: '1s', description: 'time between two looks' }),
    count: integer({ char: 'n', min: 1, helpValue: 'N', description: 'end after so many looks' }),
  }

  async run(): Promise<void> {
    const { flags, args } = await this.parse(GroupWatch)
    await this.use(flags)
    const intervalMs = parseDuration(flags.interval)
    if (intervalMs < 1) throw usageError('--interval must be at least 1ms.')
    const stop = new AbortController()
    const abort = (): void => stop.abort()
    this.signal.addEventListener('abort', abort)
    onOutputClosed(abort)
    const watcher = new GroupWatcher(await this.admin(), args.group === undefined ? null : [args.group])
    const live = new Live()
    for (let looks = 1; !stop.signal.aborted; looks += 1) {
      try {
        await this.show(live, await watcher.look(stop.signal), args.group !== undefined)
      } catch (error) {
        // To be ended is how this ends.
        if (stop.signal.aborted || outputClosed()) return
        if (looks === 1) throw error
        // The cluster may come back: who watches wants to see that.
        this.fail(error)
      }
      if (looks === flags.count) return
      await sleep(intervalMs, undefined, { signal: stop.signal }).catch(() => undefined)
    }
  }

  private async show(live: Live, looks: readonly GroupLook[], single: boolean): Promise<void> {
    const at = new Date()
    const { output } = this.requireSettings()
    switch (output) {
      case 'json':
        await writeOut(`${JSON.stringify({ at: at.toISOString(), groups: looks }, jsonValue)}\n`)
        return
      case 'yaml':
        await writeOut(`---\n${await toYaml({ at: at.toISOString(), groups: looks })}`)
        return
      case 'table':
      case 'wide': {
        const time = paint(process.stdout, 'dim', at.toTimeString().slice(0, 8))
        const [only] = looks
        const wide = output === 'wide'
        const table = single && only !== undefined ? renderGroup(only, wide) : renderGroups(looks, wide)
        await live.show(`${time}\n${table}`)
        return
      }
      default:
        output satisfies never
    }
  }
}

const dim = (text: string): string => paint(process.stdout, 'dim', text)

/** Of all groups. */
export function renderGroups(looks: readonly GroupLook[], wide: boolean): string {
  if (looks.length === 0) return 'There are no groups yet.\n'
  const columns = GROUP_COLUMNS.filter(column => wide || column.wide !== true)
  return renderTable(columns, looks, dim)
}

function renderGroup(look: GroupLook, wide: boolean): string {
  if (look.state === null) return `There is no group ${look.group} yet.\n`
  const places = look.places.length === 0 ? '' : `\n${renderTable(PLACE_COLUMNS, look.places, dim)}`
  return renderGroups([look], wide) + places
}
