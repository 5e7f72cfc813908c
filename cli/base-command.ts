/**
 * What all commands have in common: the flags for reaching a cluster, settings, a client that is loaded only when it
 * is needed and closed when the command ends, Ctrl-C, and errors that explain themselves. Commands throw; this file
 * decides what is printed and with which code the process ends.
 */
import { setMaxListeners } from 'node:events'
import { Command } from '@oclif/core/command'
import { boolean, string } from '@oclif/core/flags'
import type { Admin, Kafka, KafkaOptions } from '../client/index.ts'
import { CliError, ExitCode, renderError, toCliError, unreachable } from './errors.ts'
import { OUTPUT_FORMATS, type Presentation, present } from './output/present.ts'
import { outputClosed } from './output/writer.ts'
import { reasonUnreachable } from './preflight.ts'
import { type ConnectionFlags, DEFAULT_BROKERS, resolveSettings, type Settings } from './settings.ts'
import { paint } from './terminal.ts'

const GROUP = 'GLOBAL'
const DEFAULT_TIMEOUT_MS = 15_000
const LONGEST_CONNECT_MS = 5000

/** For commands that talk to a cluster. */
export const connectionFlags = {
  brokers: string({
    char: 'b',
    aliases: ['bootstrap-server'],
    helpGroup: GROUP,
    helpValue: 'HOST:PORT,…',
    description: `brokers to start from [SLUICE_BROKERS; default ${DEFAULT_BROKERS}]`,
  }),
  profile: string({
    helpGroup: GROUP,
    helpValue: 'NAME',
    description: 'profile of ~/.config/sluice/config.yaml to use [SLUICE_PROFILE]',
  }),
  timeout: string({
    helpGroup: GROUP,
    helpValue: '30s',
    description: 'how long an operation may take [SLUICE_TIMEOUT; default 15s]',
  }),
  'client-id': string({
    helpGroup: GROUP,
    helpValue: 'NAME',
    description: 'name told to the brokers',
    hidden: true,
  }),
} as const

/** For commands that print data which is not records. */
export const outputFlags = {
  output: string({
    char: 'o',
    helpGroup: GROUP,
    options: [...OUTPUT_FORMATS],
    helpValue: OUTPUT_FORMATS.join('|'),
    description: 'how the data is printed [SLUICE_OUTPUT; default table]',
  }),
} as const

/** For commands that destroy something. */
export const destructiveFlags = {
  yes: boolean({ char: 'y', description: 'do it without asking' }),
  'dry-run': boolean({ description: 'say what would be done, and do nothing' }),
} as const

export abstract class BaseCommand extends Command {
  private settings: Settings | null = null
  private kafka: Kafka | null = null
  private readonly interrupt = new AbortController()
  private failures = 0

  /** Aborts on Ctrl-C and SIGTERM. */
  protected get signal(): AbortSignal {
    return this.interrupt.signal
  }

  protected override init(): Promise<void> {
    // Every request to every broker listens to it.
    setMaxListeners(0, this.interrupt.signal)
    const stop = (): void => {
      // The first signal lets the command end in order, the second ends it.
      if (this.interrupt.signal.aborted) process.exit(ExitCode.INTERRUPTED)
      this.interrupt.abort()
    }
    process.on('SIGINT', stop)
    process.on('SIGTERM', stop)
    return Promise.resolve()
  }

  /** To be called once, with the parsed flags, before anything else of this class. */
  protected async use(flags: ConnectionFlags): Promise<Settings> {
    this.settings = await resolveSettings(flags)
    return this.settings
  }

  protected async connect(options: Partial<KafkaOptions> = {}): Promise<Kafka> {
    const settings = this.requireSettings()
    const timeoutMs = settings.timeoutMs ?? DEFAULT_TIMEOUT_MS
    const connectMs = Math.min(timeoutMs, LONGEST_CONNECT_MS)
    const [{ Kafka }, reason] = await Promise.all([
      import('../client/index.ts'),
      reasonUnreachable(settings.brokers, connectMs),
    ])
    if (reason !== null) throw unreachable(reason, settings.brokers)
    this.kafka = new Kafka({
      brokers: settings.brokers,
      clientId: settings.clientId,
      operationTimeoutMs: timeoutMs,
      requestTimeoutMs: timeoutMs,
      connectionTimeoutMs: connectMs,
      ...options,
    })
    return this.kafka
  }

  protected async admin(): Promise<Admin> {
    const kafka = await this.connect()
    const admin = kafka.admin()
    await admin.connect({ signal: this.signal })
    return admin
  }

  protected present<Row>(presentation: Presentation<Row>): Promise<void> {
    return present(this.requireSettings().output, presentation)
  }

  /** Tells of one item that failed; the command goes on with the others and ends with code 1. */
  protected fail(error: unknown): void {
    this.failures += 1
    const explained = toCliError(error, this.settings?.brokers ?? DEFAULT_BROKERS)
    if (explained === null) throw error
    process.stderr.write(renderError(explained, text => paint(process.stderr, 'red', text)))
  }

  protected override async catch(error: unknown): Promise<void> {
    if (outputClosed()) {
      process.exitCode = ExitCode.OK
      return
    }
    const explained = toCliError(error, this.settings?.brokers ?? DEFAULT_BROKERS)
    if (explained === null) throw error
    const interrupted = this.interrupt.signal.aborted && explained.exitCode !== ExitCode.OK
    process.exitCode = interrupted ? ExitCode.INTERRUPTED : explained.exitCode
    if (interrupted) return
    process.stderr.write(renderError(explained, text => paint(process.stderr, 'red', text)))
  }

  protected override async finally(): Promise<void> {
    await this.kafka?.close()
    if (this.failures > 0) process.exitCode ??= ExitCode.FAILED
  }

  protected requireSettings(): Settings {
    if (this.settings === null) throw new CliError({ what: 'The command did not read its settings first.' })
    return this.settings
  }
}
