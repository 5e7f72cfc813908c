/**
 * A tool that lets programs in other languages judge our codec, as a process of its own:
 *
 *   npm run -s protocol -- list        one JSON line for each API that the broker serves
 *   npm run -s protocol -- roundtrip   JSON lines in, `{apiKey, type, version, hex}` with a body without its header;
 *                                      one line out for each, in order: `{hex}` re-encoded from what was decoded,
 *                                      or `{error}`
 *
 * The round trip loses nothing: 64-bit numbers stay whole, whatever they mean. Only the end of input ends it.
 */
import { apiByKey } from '../client/protocol/apis.ts'
import { Reader } from '../client/protocol/reader.ts'
import { Writer } from '../client/protocol/writer.ts'
import { type BrokerContext } from './api/context.ts'
import { createRegistry } from './api/registry.ts'

/** A longer line is answered with an error and not kept: no frame that a broker takes is as large. */
const MAX_LINE_BYTES = 256 * 1024 * 1024
const NEWLINE = 0x0a

/** Handlers look at their context only when they handle a request: without a broker they still say what they serve. */
function list(): void {
  const registry = createRegistry({} as BrokerContext)
  const served = [...registry.values()].map(({ api }) => api).sort((left, right) => left.key - right.key)
  for (const { key, name, minVersion, maxVersion } of served) {
    process.stdout.write(`${JSON.stringify({ apiKey: key, name, min: minVersion, max: maxVersion })}\n`)
  }
}

async function roundtrip(): Promise<void> {
  const answers = new Answers()
  let pieces: Uint8Array[] = []
  let lineBytes = 0
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      pieces.push(chunk.subarray(start, end))
      answers.add(answerTo(pieces, lineBytes + end - start))
      pieces = []
      lineBytes = 0
      start = end + 1
    }
    lineBytes += chunk.length - start
    if (lineBytes > MAX_LINE_BYTES) pieces = []
    else if (start < chunk.length) pieces.push(chunk.subarray(start))
    await answers.flush()
  }
  if (lineBytes > 0) answers.add(answerTo(pieces, lineBytes))
  await answers.flush()
}

/** One line of output for one of input, whatever it holds. */
function answerTo(pieces: readonly Uint8Array[], lineBytes: number): { hex: string } | { error: string } {
  try {
    if (lineBytes > MAX_LINE_BYTES)
      throw new Error(`A line of ${lineBytes} bytes: ${MAX_LINE_BYTES} are allowed`)
    return { hex: reencode(JSON.parse(Buffer.concat(pieces).toString())) }
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

/** The body that `line` holds, decoded and encoded again, in hexadecimal. */
function reencode(line: unknown): string {
  if (typeof line !== 'object' || line === null) throw new Error('A line must be a JSON object')
  const { apiKey, type, version, hex } = line as Readonly<Record<string, unknown>>
  if (typeof apiKey !== 'number') throw new Error('apiKey must be a number')
  if (type !== 'request' && type !== 'response') throw new Error('type must be "request" or "response"')
  if (typeof version !== 'number') throw new Error('version must be a number')
  if (typeof hex !== 'string' || hex.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(hex)) {
    throw new Error('hex must be a string with an even number of hexadecimal digits')
  }
  const api = apiByKey(apiKey)
  if (api === undefined) throw new Error(`There is no API with the key ${apiKey}`)
  const codec = api[type].exactAt(version)
  const body = Buffer.from(hex, 'hex')
  const writer = new Writer(body.length)
  codec.encode(writer, codec.decode(new Reader(body)))
  return writer.concat().toString('hex')
}

/** Gathers the answers to one chunk of input, and does not run ahead of whoever reads them. */
class Answers {
  #lines: string[] = []

  add(answer: { hex: string } | { error: string }): void {
    this.#lines.push(`${JSON.stringify(answer)}\n`)
  }

  async flush(): Promise<void> {
    const lines = this.#lines
    this.#lines = []
    for (const line of lines) {
      if (!process.stdout.write(line)) await new Promise(resolve => process.stdout.once('drain', resolve))
    }
  }
}

// Whoever reads our output may stop reading, as `head` does: that is the end, and no failure.
process.stdout.on('error', () => process.exit(0))

switch (process.argv[2]) {
  case 'list':
    list()
    break
  case 'roundtrip':
    await roundtrip()
    break
  default:
    process.stderr.write('Usage: npm run -s protocol -- list | roundtrip\n')
    process.exitCode = 2
}
