/**
 * `sluice broker format`: makes a data folder that belongs to a cluster and a broker, before the first start. A broker
 * does it by itself; this is for those who want to choose the cluster id, or to prepare folders for others.
 */
import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { boolean, integer, string } from '@oclif/core/flags'
import { BaseCommand, outputFlags } from '../../base-command.ts'
import { CliError, usageError } from '../../errors.ts'
import { say } from '../../terminal.ts'

const META_PROPERTIES = 'meta.properties'

export class BrokerFormat extends BaseCommand {
  static override readonly summary = 'Prepare a data folder for a broker'
  static override readonly examples = [
    '$ sluice broker format --data /var/lib/sluice',
    '$ sluice broker format --data ./data --cluster-id 4L6g3nShT-eMCtK--X86sw --broker-id 1',
  ]
  static override readonly flags = {
    ...outputFlags,
    data: string({
      default: './data',
      helpValue: 'DIR',
      description: 'the folder; made where it is missing',
    }),
    'cluster-id': string({ helpValue: 'ID', description: 'cluster that it belongs to [a fresh one]' }),
    'broker-id': integer({ min: 0, default: 1, helpValue: 'N', description: 'broker that it belongs to' }),
    'ignore-formatted': boolean({ description: 'a folder that belongs to a broker already is fine' }),
    'dry-run': boolean({ description: 'say what would be done, and do nothing' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(BrokerFormat)
    await this.use(flags)
    const folder = resolve(flags.data)
    const clusterId = flags['cluster-id'] ?? freshId()
    if (!/^[\w-]{1,255}$/.test(clusterId)) {
      throw usageError(
        `The cluster id ${JSON.stringify(clusterId)} cannot be: it takes letters, digits, - and _.`,
      )
    }
    const content = await readdir(folder).catch((): string[] => [])
    if (content.includes(META_PROPERTIES)) {
      if (flags['ignore-formatted']) {
        say(`${folder} belongs to a broker already; nothing was changed.`)
        return
      }
      throw new CliError({
        what: `${folder} belongs to a broker already.`,
        means: `It has a ${META_PROPERTIES}; formatting it again would hide the data that it holds.`,
        advice: ['Choose another folder, or use --ignore-formatted to leave it as it is.'],
      })
    }
    const meta = { version: 1, clusterId, nodeId: flags['broker-id'], directoryId: freshId() }
    if (!flags['dry-run']) await writeMeta(folder, meta)
    await this.present({
      data: { folder, formatted: !flags['dry-run'], ...meta },
      rows: [meta],
      columns: [
        { title: 'folder', value: () => folder },
        { title: 'cluster', value: row => row.clusterId },
        { title: 'broker', align: 'right', value: row => row.nodeId },
        { title: 'formatted', value: () => !flags['dry-run'] },
      ],
    })
  }
}

/** As Kafka makes ids: a random UUID in base64url, not beginning with a dash, which tools would take for an option. */
function freshId(): string {
  for (;;) {
    const id = Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url')
    if (!id.startsWith('-')) return id
  }
}

async function writeMeta(
  folder: string,
  meta: { readonly clusterId: string; readonly nodeId: number; readonly directoryId: string },
): Promise<void> {
  await mkdir(folder, { recursive: true })
  const lines = [
    'version=1',
    `cluster.id=${meta.clusterId}`,
    `node.id=${meta.nodeId}`,
    `directory.id=${meta.directoryId}`,
  ]
  const file = await open(join(folder, META_PROPERTIES), 'wx')
  try {
    await file.writeFile(`${lines.join('\n')}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
}
