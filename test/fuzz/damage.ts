/**
 * What can become of the files of a data folder: bits flip, ends are missing, blocks are zero or those of another file,
 * numbers in them are absurd, files are gone, doubled or called otherwise.
 */
import { forEachBatch, stampChecksum } from '../../client/protocol/batch.ts'
import { type Chance } from './chance.ts'
import { DATA, type Files } from './folder.ts'

/** Damages one thing and says what; adds to `folders` those that are to be made. */
export function damage(files: Files, folders: string[], chance: Chance): string {
  if (chance.once(15)) return addForeign(files, folders, chance)
  const path = choose(files, chance)
  const content = Buffer.from(files.get(path)!)
  if (chance.once(14)) return damageName(files, path, chance)
  const text = isText(path) && !chance.once(4)
  const damaged = text
    ? damageText(content, chance)
    : path.endsWith('.log') && chance.once(3)
      ? damageBatch(content, chance)
      : damageBytes(content, files, chance)
  files.set(path, damaged)
  return `${path} has ${damaged.length} bytes, it had ${content.length}`
}

function choose(files: Files, chance: Chance): string {
  const paths = [...files.keys()]
  const wanted = chance.pick([/\.log$/, /\.log$/, /index$/, /\.snapshot$/, /checkpoint$/, /./, /metadata/])
  const fitting = paths.filter(path => wanted.test(path))
  return chance.pick(fitting.length > 0 ? fitting : paths)
}

function isText(path: string): boolean {
  return !/\.(log|index|timeindex|txnindex|snapshot)$|\d{20}-\d{10}\.checkpoint$/.test(path)
}

function damageName(files: Files, path: string, chance: Chance): string {
  const folder = path.slice(0, path.lastIndexOf('/'))
  const content = files.get(path)!
  const draw = chance.int(4)
  if (draw < 2) {
    files.delete(path)
    return `${path} is gone`
  }
  const suffix = chance.pick([
    '.log',
    '.index',
    '.timeindex',
    '.snapshot',
    '.txnindex',
    '.log.deleted',
    '.cleaned',
    '',
  ])
  const base = chance.pick(['5', '20', '0', '9007199254740993', '99999999999999999999', '-1', 'x'])
  const name = `${folder}/${base.padStart(20, '0')}${suffix}`
  if (files.has(name)) return damageName(files, path, chance)
  if (draw === 2) files.delete(path)
  files.set(name, content)
  return `${path} ${draw === 2 ? 'is called' : 'is there again as'} ${name}`
}

function addForeign(files: Files, folders: string[], chance: Chance): string {
  const name = chance.pick([
    `${DATA}/junk`,
    `${DATA}/alpha-2`,
    `${DATA}/alpha-00`,
    `${DATA}/alpha-2147483648`,
    `${DATA}/__proto__-0`,
    `${DATA}/beta-0.${'0'.repeat(32)}-delete`,
    `${DATA}/-0`,
    `${DATA}/alpha-0/folder`,
    `${DATA}/alpha-0/00000000000000000001.log`,
  ])
  if (files.has(name) || folders.includes(name)) return 'nothing'
  if (name.endsWith('.log') || chance.once(4)) files.set(name, chance.bytes(chance.size(300)))
  else folders.push(name)
  return `${name} was added`
}

function damageText(content: Buffer, chance: Chance): Buffer {
  const text = content.toString('latin1')
  const numbers = [...text.matchAll(/\d+/g)]
  if (numbers.length > 0 && !chance.once(3)) {
    const { index, 0: old } = chance.pick(numbers)
    const number = chance.pick([
      '0',
      '-1',
      '1',
      '4',
      '9007199254740993',
      '99999999999999999999',
      '1e3',
      'NaN',
      '',
    ])
    return Buffer.from(text.slice(0, index) + number + text.slice(index + old.length), 'latin1')
  }
  const lines = text.split('\n')
  const at = chance.int(lines.length)
  if (chance.once(2)) lines.splice(at, 1)
  else
    lines.splice(
      at,
      0,
      chance.pick([lines[at]!, '', '\u0000\u0000', 'alpha 0', '__proto__ 0 5', 'alpha 0 5 6']),
    )
  return Buffer.from(lines.join('\n'), 'latin1')
}

/** One field of one batch says something else; mostly the CRC is right about it. */
function damageBatch(content: Buffer, chance: Chance): Buffer {
  const positions: number[] = []
  forEachBatch(content, position => void positions.push(position))
  if (positions.length === 0) return content
  const position = chance.pick(positions)
  const at = position + chance.int(61)
  const width = Math.min(chance.pick([1, 2, 4, 8]), content.length - at)
  for (let i = 0; i < width; i++) content[at + i] = chance.pick([0, 0xff, 0x7f, 0x80, chance.int(256)])
  const byteLength = content.readInt32BE(position + 8) + 12
  const isWhole = byteLength >= 61 && position + byteLength <= content.length
  if (isWhole && !chance.once(4)) stampChecksum(content, position)
  return content
}

function damageBytes(content: Buffer, files: Files, chance: Chance): Buffer {
  const { length } = content
  if (length === 0) return chance.bytes(chance.size(100))
  const at = chance.int(length)
  const end = Math.min(length, at + 1 + chance.size(600))
  switch (chance.int(7)) {
    case 0:
      content[at]! ^= 1 << chance.int(8)
      return content
    case 1:
      return Buffer.from(content.subarray(0, at))
    case 2:
      return Buffer.concat([
        content,
        chance.once(2) ? Buffer.alloc(chance.size(5000)) : chance.bytes(chance.size(500)),
      ])
    case 3:
      content.fill(chance.pick([0, 0xff]), at, end)
      return content
    case 4: {
      const other = files.get(chance.pick([...files.keys()]))!
      const from = chance.int(other.length + 1)
      content.set(other.subarray(from, Math.min(other.length, from + end - at)), at)
      return content
    }
    case 5: {
      const width = chance.pick([4, 8])
      const aligned = Math.floor(at / 4) * 4
      if (aligned + width > length) return Buffer.from(content.subarray(0, at))
      if (width === 8) content.writeBigInt64BE(BigInt(chance.integer(64)), aligned)
      else content.writeInt32BE(chance.integer(32), aligned)
      return content
    }
    default:
      return Buffer.concat([content.subarray(0, at), content.subarray(end)])
  }
}
