/** `sluice broker start`: a durable broker in the foreground. The broker itself prints, and handles signals. */
import { Command } from '@oclif/core/command'
import { brokerArguments, brokerFlags } from '../../broker-flags.ts'

export class BrokerStart extends Command {
  static override readonly summary = 'Run a broker that keeps its data on disk'
  static override readonly description =
    'A flag wins over the environment (KAFKA_* and SLUICE_*, as SLUICE_LOG_RETENTION_MS), which wins over the file. ' +
    'SIGTERM or Ctrl-C stops the broker in order; a second one forces it.'
  static override readonly examples = [
    '$ sluice broker start',
    '$ sluice broker start --data /var/lib/sluice --listen 0.0.0.0:9092',
    '$ sluice broker start --config server.properties --set log.retention.hours=24',
    '$ sluice broker start --broker-id 1 --etcd http://10.0.0.1:2379 --listen 0.0.0.0:9092 --advertise host-1:9092',
  ]
  static override readonly flags = brokerFlags

  async run(): Promise<void> {
    const { flags } = await this.parse(BrokerStart)
    const { run } = await import('../../../broker/main.ts')
    process.exitCode = await run(brokerArguments(flags))
  }
}
