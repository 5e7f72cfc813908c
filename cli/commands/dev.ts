/** `sluice dev`: a broker in memory for trying things, gone when it ends; prints what to do next. */
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { boolean, integer, option, string } from '@oclif/core/flags'
import { BaseCommand } from '../base-command.ts'
import { parseAssignments } from '../config-arguments.ts'
import { CliError, ExitCode, usageError } from '../errors.ts'
import type { GroupLook } from '../group-watch.ts'
import { Live } from '../output/live.ts'
import { renderTable } from '../output/present.ts'
import { writeOut } from '../output/writer.ts'
import { paint, say } from '../terminal.ts'

const DEFAULT_PORT = 9092
const LOOK_EVERY_MS = 1000

export class Dev extends BaseCommand {
  static override readonly summary = 'Run a broker in memory for development'
  static override readonly description =
    'Listens on 127.0.0.1 and keeps everything in memory: when it ends, nothing is left. For data that stays, see ' +
    'sluice broker start.'
  static override readonly examples = [
    '$ sluice dev',
    '$ sluice dev --topic orders:3 --topic payments',
    '$ sluice dev --port 0',
  ]
  static override readonly flags = {
    port: integer({
      min: 0,
      max: 65_535,
      default: DEFAULT_PORT,
      description: 'where to listen; 0 takes a free port',
    }),
    topic: string({
      char: 't',
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'NAME[:PARTITIONS]',
      description: 'topic to make at the start',
    }),
    'auto-create': boolean({
      allowNo: true,
      default: true,
      description: 'make topics when they are first used',
    }),
    groups: boolean({
      allowNo: true,
      default: true,
      description: 'show the groups, with their members and lag, as they come and change',
    }),
    set: string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'NAME=VALUE',
      description: 'config of the broker',
    }),
    log: option({
      options: ['debug', 'info', 'warn', 'error', 'silent'] as const,
      default: 'warn' as const,
      description: 'what of its log is shown',
    })(),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Dev)
    const topics = Object.fromEntries((flags.topic ?? []).map(parseTopic))
    const { startBroker } = await import('../../broker/testing.ts')
    const broker = await startBroker({
      storage: 'memory',
      port: flags.port,
      topics,
      autoCreate: flags['auto-create'],
      configs: parseAssignments(flags.set ?? []),
      log: flags.log,
    }).catch((error: unknown) => {
      throw startFailure(error, flags.port)
    })
    try {
      await writeOut(welcome(broker.bootstrap, Object.keys(topics)))
      if (flags.groups) await this.showGroups(broker.bootstrap)
      else if (!this.signal.aborted) {
        // A signal's listener does not keep the process alive, but the broker's socket does.
        await once(this.signal, 'abort')
      }
    } finally {
      await broker[Symbol.asyncDispose]()
    }
    say('Stopped; nothing is left of it.')
  }

  /** Until the signal aborts. On a terminal a table that is kept up to date; elsewhere a line for each change. */
  private async showGroups(bootstrap: string): Promise<void> {
    const { Kafka, GroupWatcher, GROUP_COLUMNS, newsOf } = await loadGroupWatch()
    await using kafka = new Kafka({ brokers: bootstrap, clientId: 'sluice-dev' })
    const watcher = new GroupWatcher(kafka.admin(), null)
    const live = new Live()
    let shown = ''
    let before: readonly GroupLook[] = []
    while (!this.signal.aborted) {
      // A broker that does not answer tells why in its own log.
      const looks = await watcher.look(this.signal).catch(() => before)
      if (live.onTerminal) {
        const table = looks.length === 0 ? '' : `\n${renderTable(GROUP_COLUMNS, looks, heading)}`
        if (table !== shown) await live.show(table)
        shown = table
      } else {
        await writeOut(newsOf(before, looks))
      }
      before = looks
      await sleep(LOOK_EVERY_MS, undefined, { signal: this.signal }).catch(() => undefined)
    }
  }
}

const heading = (text: string): string => paint(process.stdout, 'dim', text)

function parseTopic(text: string): [string, number] {
  const match = /^([\w.-]+)(?::(\d{1,5}))?$/.exec(text)
  if (match === null) throw usageError(`${JSON.stringify(text)} is no topic: write NAME or NAME:PARTITIONS.`)
  return [match[1]!, Number(match[2] ?? 1)]
}

/** Only where groups are shown: the command starts sooner without. */
async function loadGroupWatch() {
  const [client, watch] = await Promise.all([import('../../client/index.ts'), import('../group-watch.ts')])
  return { ...client, ...watch }
}

function startFailure(error: unknown, port: number): unknown {
  if (systemCode(error) !== 'EADDRINUSE') return error
  return new CliError({
    exitCode: ExitCode.FAILED,
    what: `Port ${port} of 127.0.0.1 is taken.`,
    means: 'Another broker, or another program, listens there.',
    advice: ['Use it as it is, stop it, or take another port: sluice dev --port 0'],
    cause: error,
  })
}

function systemCode(error: unknown): unknown {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ('code' in at && at.code === 'EADDRINUSE') return at.code
  }
  return null
}

function welcome(bootstrap: string, topics: readonly string[]): string {
  const topic = topics[0] ?? 'demo'
  // The CLI finds a broker on the default port by itself.
  const brokers = bootstrap === `127.0.0.1:${DEFAULT_PORT}` ? '' : ` -b ${bootstrap}`
  const command = (text: string): string => `  ${paint(process.stdout, 'cyan', text)}`
  return `${paint(process.stdout, 'bold', 'Sluice')} listens on ${bootstrap}, in memory.

${[
  command(`echo "hello" | sluice produce ${topic}${brokers}`),
  command(`sluice consume ${topic}${brokers}`),
  command(`sluice consume ${topic} --group readers${brokers}`),
  command(`sluice topic list${brokers}`),
].join('\n')}

In code: new Kafka({ brokers: '${bootstrap}' }). Any other Kafka client works as well.
Ctrl-C ends it, and all that it holds.
`
}
