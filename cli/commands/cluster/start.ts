/** `sluice cluster start`: a cluster of several brokers on this machine, for development. */
import { once } from 'node:events'
import { resolve } from 'node:path'
import { integer, string } from '@oclif/core/flags'
import { BaseCommand } from '../../base-command.ts'
import { DevelopmentCluster } from '../../cluster/development.ts'
import { parseAssignments } from '../../config-arguments.ts'
import { writeOut } from '../../output/writer.ts'
import { paint, type Style, say } from '../../terminal.ts'

const STYLES: readonly Style[] = ['cyan', 'yellow', 'green']

export class ClusterStart extends BaseCommand {
  static override readonly summary = 'Run a cluster of brokers on this machine, for development'
  static override readonly description =
    'Starts etcd (which must be installed) and the brokers as processes of their own, on 127.0.0.1, with their data ' +
    'below one folder. Kill one, and see what the others make of it. In production each broker runs on a machine of ' +
    'its own: sluice broker start --etcd.'
  static override readonly examples = [
    '$ sluice cluster start',
    '$ sluice cluster start --brokers 5 --data ./cluster --port 19092',
    '$ sluice cluster start --etcd http://127.0.0.1:2379',
  ]
  static override readonly flags = {
    brokers: integer({ min: 1, max: 15, default: 3, helpValue: 'N', description: 'how many' }),
    data: string({ default: './cluster-data', helpValue: 'DIR', description: 'where everything is kept' }),
    port: integer({
      min: 0,
      max: 65_500,
      default: 9092,
      description: 'of the first broker, the others follow; 0 takes free ones',
    }),
    etcd: string({ helpValue: 'URL,…', description: 'an etcd that runs; none is started then' }),
    set: string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'NAME=VALUE',
      description: 'config of every broker',
    }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(ClusterStart)
    const cluster = new DevelopmentCluster({
      brokers: flags.brokers,
      folder: resolve(flags.data),
      port: flags.port,
      etcd: flags.etcd ?? null,
      settings: parseAssignments(flags.set ?? []),
      onLine: (who, line) => say(`${prefix(who)} ${line}`),
    })
    try {
      await cluster.start()
      await writeOut(welcome(cluster, resolve(flags.data)))
      for (const { id, child } of cluster.brokers)
        void child.ended.then(how => this.tellOfEnd(`broker ${id}`, how))
      const { child } = cluster.etcd
      const etcdEnded = child?.ended.then(how => this.tellOfEnd('etcd', how))
      const stopped = this.signal.aborted ? null : once(this.signal, 'abort')
      // Without brokers or etcd there is no cluster left.
      const allEnded = Promise.all(cluster.brokers.map(each => each.child.ended))
      await Promise.race([stopped, allEnded, ...(etcdEnded === undefined ? [] : [etcdEnded])])
      say('Stopping the brokers, then etcd.')
    } finally {
      await cluster.stop()
    }
    say('Stopped. The data stays, and is found again by the next start.')
  }

  private tellOfEnd(who: string, how: string): void {
    if (!this.signal.aborted) say(`${prefix(who)} ended (${how}).`)
  }
}

function prefix(who: string): string {
  const style = STYLES[Number(who.split(' ')[1] ?? 0) % STYLES.length]!
  return paint(process.stderr, style, `[${who}]`)
}

function welcome(cluster: DevelopmentCluster, folder: string): string {
  const { brokers, bootstrap, etcd } = cluster
  const command = (text: string): string => `  ${paint(process.stdout, 'cyan', text)}`
  const rows = brokers.map(({ id, address, child }) => `  broker ${id}  ${address}  process ${child.pid}`)
  const last = brokers.at(-1)
  return `${paint(process.stdout, 'bold', 'Sluice')}: a cluster of ${brokers.length} brokers, with its data in ${folder}
${rows.join('\n')}
  etcd      ${etcd.url}${etcd.child === null ? '' : `  process ${etcd.child.pid}`}

bootstrap: ${bootstrap}

${[
  command(`export SLUICE_BROKERS=${bootstrap}`),
  command('sluice topic create orders -p 3'),
  command('echo "hello" | sluice produce orders'),
  command(`kill -9 ${last?.child.pid}          # see how it goes on`),
  command('sluice cluster health'),
].join('\n')}

Ctrl-C stops it.
`
}
