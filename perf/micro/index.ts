/** `node dist/perf/micro/index.js`: the indexes of a segment. */
import { OffsetIndex } from '../../broker/storage/offset-index.ts'
import { TimeIndex } from '../../broker/storage/time-index.ts'
import type { Offset } from '../../client/protocol/types.ts'
import { bench } from './harness.ts'

/** A segment of 1 GiB with an entry for each 4 KiB. */
const ENTRIES = 262_144
const RECORDS_PER_ENTRY = 4
const POSITIONS_PER_ENTRY = 4096
const LOOKUPS = 1024
const TIMESTAMP = 1_700_000_000_000

function offset(value: number): Offset {
  return value as Offset
}

function fullOffsetIndex(): OffsetIndex {
  const index = new OffsetIndex(offset(0))
  for (let entry = 1; entry <= ENTRIES; entry += 1) {
    index.append(offset(entry * RECORDS_PER_ENTRY), entry * POSITIONS_PER_ENTRY)
  }
  return index
}

const offsetIndex = fullOffsetIndex()
const timeIndex = new TimeIndex(offset(0))
for (let entry = 1; entry <= ENTRIES; entry += 1) {
  timeIndex.maybeAppend(TIMESTAMP + entry, offset(entry * RECORDS_PER_ENTRY))
}

const wanted = Array.from({ length: LOOKUPS }, (_, index) =>
  offset((index * 7919 * RECORDS_PER_ENTRY) % (ENTRIES * RECORDS_PER_ENTRY)),
)

bench('fill an offset index of a 1 GiB segment', () => void fullOffsetIndex(), { items: ENTRIES })
bench(
  'look up offsets',
  () => {
    for (const each of wanted) offsetIndex.lookup(each)
  },
  { items: LOOKUPS },
)
bench(
  'look up timestamps',
  () => {
    for (const each of wanted) timeIndex.lookup(TIMESTAMP + each / RECORDS_PER_ENTRY)
  },
  { items: LOOKUPS },
)

const onDisk = Buffer.alloc(ENTRIES * 8)
for (let entry = 0; entry < ENTRIES; entry += 1) {
  onDisk.writeInt32BE((entry + 1) * RECORDS_PER_ENTRY, entry * 8)
  onDisk.writeInt32BE((entry + 1) * POSITIONS_PER_ENTRY, entry * 8 + 4)
}
bench('read an offset index from its bytes', () => void OffsetIndex.parse(onDisk, offset(0)), {
  bytes: onDisk.length,
  items: ENTRIES,
})
