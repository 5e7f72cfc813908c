/**
 * `node dist/perf/micro/storage.js [--folder DIR] [--mebibytes N]`: the partition log on a real disk beside plain
 * writes and reads of the same files, in one run. Each figure is the median of three rounds that alternate.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, readSync, rmSync, writevSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { createNodeEnv } from '../../broker/env-node.ts'
import { PartitionLog } from '../../broker/storage/partition-log.ts'
import { SharedStorage } from '../../broker/storage/shared-storage.ts'
import { type SegmentConfig } from '../../broker/storage/types.ts'
import { stampBatch } from '../../client/protocol/batch.ts'
import { encodeBatch } from '../../client/protocol/record.ts'
import { type LeaderEpoch, type Offset } from '../../client/protocol/types.ts'
import { MEBIBYTE, median } from '../statistics.ts'

const ROUNDS = 3
const PARTITIONS = 2000
/** Bytes gathered in one turn of the event loop: one write. */
const TURN_BYTES = 256 * 1024
const CONFIG: SegmentConfig = {
  segmentBytes: 1024 * MEBIBYTE,
  indexBytes: 10 * MEBIBYTE,
  indexIntervalBytes: 4096,
  preallocate: false,
}

const { values } = parseArgs({
  options: { folder: { type: 'string' }, mebibytes: { type: 'string', default: '256' } },
})
const folder = mkdtempSync(join(values.folder ?? tmpdir(), 'sluice-storage-'))
const totalBytes = Number(values.mebibytes) * MEBIBYTE
const env = createNodeEnv()

function offset(value: number): Offset {
  return value as Offset
}

function storage(tailCacheBytes: number): SharedStorage {
  return new SharedStorage({ disk: env.disk, clock: env.clock, log: env.log, tailCacheBytes })
}

async function open(shared: SharedStorage, directory: string): Promise<PartitionLog> {
  const opened = await PartitionLog.open({
    shared,
    directory,
    config: CONFIG,
    logStartOffset: offset(0),
    recoveryPoint: offset(0),
    cleanShutdown: true,
  })
  return opened.log
}

function batchOf(byteLength: number): Buffer {
  const overhead = 100
  return encodeBatch([{ value: Buffer.alloc(byteLength - overhead, 'x'), timestamp: 1_700_000_000_000 }])
}

function print(title: string, cells: readonly string[]): void {
  process.stdout.write(`${title.padEnd(34)}${cells.map(cell => cell.padStart(16)).join('')}\n`)
}

function rate(bytes: number, elapsedMs: number): number {
  return bytes / MEBIBYTE / (elapsedMs / 1000)
}

/** Batches in one write, and writes in all. */
function plan(byteLength: number, synced: boolean): { perTurn: number; turns: number } {
  const perTurn = Math.max(1, Math.floor(TURN_BYTES / byteLength))
  const bytes = synced ? totalBytes / 4 : totalBytes
  return { perTurn, turns: Math.floor(bytes / (perTurn * byteLength)) }
}

function plainAppend(batch: Buffer, synced: boolean): number {
  const { perTurn, turns } = plan(batch.length, synced)
  const path = join(folder, 'plain')
  const fd = openSync(path, 'w')
  const chunks = Array.from({ length: perTurn }, () => batch)
  const startedAt = performance.now()
  for (let turn = 0; turn < turns; turn++) {
    writevSync(fd, chunks, turn * perTurn * batch.length)
    if (synced) fdatasyncSync(fd)
  }
  const elapsedMs = performance.now() - startedAt
  closeSync(fd)
  rmSync(path)
  return rate(turns * perTurn * batch.length, elapsedMs)
}

async function logAppend(batch: Buffer, synced: boolean): Promise<number> {
  const { perTurn, turns } = plan(batch.length, synced)
  const shared = storage(4 * MEBIBYTE)
  const log = await open(shared, join(folder, 'append-0'))
  const startedAt = performance.now()
  for (let turn = 0; turn < turns; turn++) {
    for (let i = 0; i < perTurn; i++) append(log, batch)
    const writing = log.writePending()
    if (writing !== undefined) await writing
    if (synced) await log.sync()
  }
  const elapsedMs = performance.now() - startedAt
  await log.delete('done')
  await shared.close()
  return rate(turns * perTurn * batch.length, elapsedMs)
}

function append(log: PartitionLog, bytes: Buffer): void {
  const baseOffset = log.endOffset
  const leaderEpoch = 0 as LeaderEpoch
  stampBatch(bytes, 0, baseOffset, leaderEpoch)
  log.append({
    bytes,
    owner: null,
    baseOffset,
    lastOffset: baseOffset,
    maxTimestamp: 1_700_000_000_000,
    leaderEpoch,
  })
}

function plainRead(path: string, bytes: number): number {
  const fd = openSync(path, 'r')
  const into = Buffer.alloc(MEBIBYTE)
  const startedAt = performance.now()
  for (let at = 0; at < bytes; at += into.length) readSync(fd, into, 0, into.length, at)
  const elapsedMs = performance.now() - startedAt
  closeSync(fd)
  return rate(bytes, elapsedMs)
}

async function logRead(log: PartitionLog, maxBytes: number): Promise<number> {
  let bytes = 0
  const startedAt = performance.now()
  for (let next = log.firstOffset; next < log.endOffset; ) {
    const slices = await log.read(next, maxBytes, log.endOffset, true)
    bytes += slices.byteLength
    next = slices.nextOffset
    slices.release()
  }
  return rate(bytes, performance.now() - startedAt)
}

async function appends(): Promise<void> {
  print('append, MiB/s', ['plain writev', 'log', 'ratio'])
  for (const synced of [false, true]) {
    for (const byteLength of [16 * 1024, 64 * 1024, MEBIBYTE]) {
      const batch = batchOf(byteLength)
      const plain: number[] = []
      const log: number[] = []
      for (let round = 0; round < ROUNDS; round++) {
        plain.push(plainAppend(batch, synced))
        log.push(await logAppend(batch, synced))
      }
      const title = `${byteLength / 1024} KiB batches${synced ? ', synced each write' : ''}`
      const ratio = (median(log) / median(plain)).toFixed(2)
      print(title, [median(plain).toFixed(0), median(log).toFixed(0), ratio])
    }
  }
}

async function reads(): Promise<void> {
  print('sequential read in cache, MiB/s', ['plain read', 'log', 'ratio'])
  for (const byteLength of [16 * 1024, 64 * 1024, MEBIBYTE]) {
    const shared = storage(0)
    const log = await open(shared, join(folder, 'read-0'))
    const batch = batchOf(byteLength)
    while (log.sizeBytes < totalBytes) {
      append(log, batch)
      await log.writePending()
    }
    const path = join(folder, 'read-0', '00000000000000000000.log')
    const plain: number[] = []
    const own: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      plain.push(plainRead(path, log.sizeBytes))
      own.push(await logRead(log, MEBIBYTE))
    }
    const ratio = (median(own) / median(plain)).toFixed(2)
    print(`${byteLength / 1024} KiB batches`, [median(plain).toFixed(0), median(own).toFixed(0), ratio])
    await log.delete('done')
    await shared.close()
  }
}

/** What many quiet partitions cost: time to make and to open them, memory for each. */
async function manyPartitions(): Promise<void> {
  const batch = batchOf(1024)
  const create = storage(0)
  const names = Array.from({ length: PARTITIONS }, (_, i) => join(folder, `many-${i}`))
  let startedAt = performance.now()
  const logs = await inParallel(names, name => open(create, name))
  const createdMs = performance.now() - startedAt
  await inParallel(logs, async log => {
    append(log, Buffer.from(batch))
    await log.writePending()
    await log.close(true)
  })
  await create.close()
  const before = process.memoryUsage()
  const shared = storage(0)
  startedAt = performance.now()
  const opened = await inParallel(names, name => open(shared, name))
  const openedMs = performance.now() - startedAt
  const after = process.memoryUsage()
  const kibibytes = (after.rss - before.rss) / PARTITIONS / 1024
  print(`${PARTITIONS} partitions`, [
    `made ${createdMs.toFixed(0)} ms`,
    `open ${openedMs.toFixed(0)} ms`,
    `${kibibytes.toFixed(0)} KiB each`,
  ])
  for (const log of opened) await log.close(false)
  await shared.close()
}

async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const at = next++
      results[at] = await work(items[at]!)
    }
  }
  await Promise.all(Array.from({ length: 16 }, worker))
  return results
}

try {
  await appends()
  await reads()
  await manyPartitions()
} finally {
  rmSync(folder, { recursive: true, force: true })
}
