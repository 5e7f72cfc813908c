/** Programs that others wrote, as tests run them: found or said to be missing, run with bytes in and bytes out. */
import { spawn, spawnSync } from 'node:child_process'

const RUN_TIMEOUT_MS = 60_000

/** False when the program can be run; else the sentence with which a test skips. */
export function missing(command: string, args: readonly string[], install: string): string | false {
  const { status } = spawnSync(command, [...args], { stdio: 'ignore' })
  return status === 0 ? false : `${command} is not installed: ${install}`
}

export const withoutKcat = missing('kcat', ['-V'], 'apt-get install kcat')
export const withoutPythonKafka = missing(
  '/usr/bin/python3',
  ['-c', 'import kafka'],
  'apt-get install python3-kafka',
)

export interface Outcome {
  readonly code: number | null
  readonly stdout: Buffer
  readonly stderr: string
}

/**
 * Runs a program to its end with `input` on its standard input. Rejects, when it has ended it, where that takes longer
 * than a minute.
 */
export function run(
  command: string,
  args: readonly string[],
  input: string | Uint8Array = '',
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args], { stdio: ['pipe', 'pipe', 'pipe'] })
    const stdout: Buffer[] = []
    let stderr = ''
    let isLate = false
    const deadline = setTimeout(() => {
      isLate = true
      child.kill('SIGKILL')
    }, RUN_TIMEOUT_MS)
    child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString('utf8')
    })
    child.once('error', reject)
    child.once('close', code => {
      clearTimeout(deadline)
      if (isLate)
        reject(new Error(`${command} ${args.join(' ')} did not end within ${RUN_TIMEOUT_MS} ms:\n${stderr}`))
      else resolve({ code, stdout: Buffer.concat(stdout), stderr })
    })
    child.stdin.on('error', () => {
      // The program ended before it read everything; its exit code tells the story.
    })
    child.stdin.end(input)
  })
}
