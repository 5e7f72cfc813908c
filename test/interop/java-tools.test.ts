/**
 * Kafka's command-line tools and Java clients against this broker: they print what they print against Apache Kafka 4.1,
 * word for word, which a golden transcript holds. `SLUICE_WRITE_GOLDEN=1` has Apache Kafka write it anew.
 */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { CODEC_NAMES } from '../../client/protocol/compression.ts'
import { spawnBroker } from '../helpers/broker-process.ts'
import { GOLDEN } from './golden-segments.ts'
import {
  CONFIGS,
  CONSOLE_CONSUMER,
  CONSOLE_PRODUCER,
  LOG_DIRS,
  runKafka,
  spawnKafka,
  TOPICS,
  VERIFIABLE_PRODUCER,
  withoutKafkaTools,
} from './kafka-tools.ts'

const TRANSCRIPT = join(GOLDEN, 'java-tools.txt')
const OFFSETS = 'org.apache.kafka.tools.GetOffsetShell'
const RECORDS = 'org.apache.kafka.tools.DeleteRecordsCommand'
const PERFORMANCE = 'org.apache.kafka.tools.ProducerPerformance'

interface Step {
  readonly tool: string
  readonly args: string
  readonly input?: string
}

const lines = Array.from({ length: 60 }, (_, index) => `key-${index}:value ${index}\n`).join('')
const deletion = JSON.stringify({ version: 1, partitions: [{ topic: 'orders', partition: 0, offset: 20 }] })

const STEPS: readonly Step[] = [
  { tool: TOPICS, args: '--create --topic orders --config retention.ms=100000' },
  { tool: TOPICS, args: '--create --topic orders' },
  { tool: TOPICS, args: '--create --topic x/y' },
  { tool: TOPICS, args: '--create --topic odd --config nope=1' },
  { tool: TOPICS, args: '--create --topic odd --replication-factor 3' },
  { tool: TOPICS, args: '--create --topic grown --partitions 2' },
  { tool: TOPICS, args: '--alter --topic grown --partitions 4' },
  { tool: TOPICS, args: '--alter --topic grown --partitions 3' },
  { tool: CONFIGS, args: '--entity-type topics --entity-name grown --alter --add-config segment.ms=123456' },
  { tool: CONFIGS, args: '--entity-type topics --entity-name grown --alter --add-config segment.ms=x' },
  { tool: CONFIGS, args: '--entity-type topics --entity-name grown --describe' },
  { tool: CONFIGS, args: '--entity-type topics --entity-name grown --describe --all' },
  {
    tool: CONFIGS,
    args: '--entity-type brokers --entity-name 1 --alter --add-config message.max.bytes=2000000',
  },
  { tool: CONFIGS, args: '--entity-type brokers --entity-name 1 --describe' },
  { tool: TOPICS, args: '--describe' },
  {
    tool: CONSOLE_PRODUCER,
    args: '--topic orders --property parse.key=true --property key.separator=:',
    input: lines,
  },
  {
    tool: CONSOLE_CONSUMER,
    args:
      '--topic orders --partition 0 --offset earliest --max-messages 60 --timeout-ms 20000 ' +
      '--property print.key=true --property print.offset=true --property print.partition=true',
  },
  { tool: RECORDS, args: '--offset-json-file DELETION' },
  {
    tool: CONSOLE_CONSUMER,
    args: '--topic orders --partition 0 --offset 55 --max-messages 5 --timeout-ms 20000',
  },
  { tool: OFFSETS, args: '--time -1' },
  ...[-2, -4, -5, 1, 1_893_456_000_000].map(time => ({
    tool: OFFSETS,
    args: `--topic orders --time ${time}`,
  })),
  { tool: LOG_DIRS, args: '--describe --topic-list orders,missing' },
  { tool: VERIFIABLE_PRODUCER, args: '--topic verified --max-messages 20 --throughput 100' },
  { tool: OFFSETS, args: '--topic verified --time -3' },
  ...CODEC_NAMES.map(codec => ({
    tool: PERFORMANCE,
    args: `--topic perf --num-records 2000 --record-size 300 --throughput -1 --producer-props compression.type=${codec}`,
  })),
  { tool: OFFSETS, args: '--topic perf' },
  { tool: TOPICS, args: '--delete --topic grown' },
  { tool: TOPICS, args: '--delete --topic missing' },
  { tool: TOPICS, args: '--list' },
]

async function transcript(bootstrap: string): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), 'sluice-tools-'))
  try {
    const file = join(home, 'deletion.json')
    await writeFile(file, deletion)
    const parts: string[] = []
    for (const { tool, args, input } of STEPS) {
      const given = args.replace('DELETION', file).split(' ')
      // This tool alone takes the address as one of its producer's configs.
      const where =
        tool === PERFORMANCE ? [`bootstrap.servers=${bootstrap}`] : ['--bootstrap-server', bootstrap]
      const { code, stdout, stderr } = await runKafka(tool, [...given, ...where], input)
      parts.push(`$ ${tool.split('.').at(-1)} ${args}\n${plain(`${stdout}${stderr}`)}[${code}]\n`)
    }
    return parts.join('\n')
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

/** Configs that Kafka has and this broker does not serve, or the other way round, or with another default. */
const OWN_CONFIGS =
  /^ +(compression\.\w+\.level|flush\.before\.ack|(follower|leader)\.replication|(local|remote)\.|min\.insync|delete\.retention|(max|min)\.compaction|min\.cleanable)/

/** Without what differs from run to run. */
function plain(output: string): string {
  return output
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('\tat ') && !OWN_CONFIGS.test(line))
    .map(line =>
      line
        .replace(/^\[[-\d :,]+\] /, '')
        .replace(/TopicId: \S{22}/, 'TopicId: ID')
        .replace(/Configs: (.*)/, (_, configs: string) => `Configs: ${sortedConfigs(configs)}`)
        .replace(/"logDir":"[^"]*"/, '"logDir":"FOLDER"')
        .replace(/127\.0\.0\.1:\d+/, 'ADDRESS')
        // Of records that were made in one millisecond the largest timestamp is the first one's.
        .replace(/^verified:0:\d+$/, 'verified:0:N')
        // How many batches a producer makes of its records is a matter of time.
        .replace(/"size":[1-9]\d*/, '"size":N')
        .replace(/"timestamp":\d+,?/, '')
        .replace(/"avg_throughput":[\d.]+/, '"avg_throughput":N')
        .replace(/ sent, .*/, ' sent'),
    )
    .map(line => `${line}\n`)
    .join('')
}

function sortedConfigs(configs: string): string {
  return configs
    .split(',')
    .filter(config => !config.startsWith('min.insync.replicas='))
    .sort()
    .join(',')
}

const isRecording = process.env['SLUICE_WRITE_GOLDEN'] !== undefined
t.setTimeout(isRecording ? 300_000 : 115_000)

t.test("Kafka's tools print what they print against Kafka", { skip: withoutKafkaTools }, async t => {
  const properties = { 'node.id': 1, 'log.segment.bytes': 1_048_576 }
  if (isRecording) {
    await using kafka = await spawnKafka({ properties })
    await writeFile(TRANSCRIPT, await transcript(kafka.bootstrap))
  }
  await using broker = await spawnBroker({ properties })
  const golden = (await readFile(TRANSCRIPT, 'utf8')).split('\n$ ')
  const ours = (await transcript(broker.bootstrap)).split('\n$ ')
  t.equal(ours.length, STEPS.length)
  for (const [index, part] of ours.entries()) t.equal(part, golden[index], STEPS[index]!.args)
})
