import t from 'tap'
import { parseProperties } from '../../../broker/config/properties.ts'

const pairs = (text: string): [string, string][] =>
  parseProperties(text).map(({ key, value }) => [key, value])

t.test('names and values are parted by =, : or a blank, and blanks around do not count', t => {
  t.same(pairs('a=1\nb: 2\nc 3\n  d  =  4  \ne\n'), [
    ['a', '1'],
    ['b', '2'],
    ['c', '3'],
    ['d', '4  '],
    ['e', ''],
  ])
  t.end()
})

t.test('comments and empty lines are read over, and a comment does not go on', t => {
  t.same(pairs('# a=1 \\\nb=2\n! c=3\n\n   \n#d=4'), [['b', '2']])
  t.end()
})

t.test('a backslash at the end carries a line on, two do not', t => {
  t.same(pairs('a=1,\\\n   2,\\\n\t3\nb=x\\\\\nc=y'), [
    ['a', '1,2,3'],
    ['b', 'x\\'],
    ['c', 'y'],
  ])
  t.same(pairs('a=1\\'), [['a', '1']])
  t.end()
})

t.test('escapes stand for characters, in names too', t => {
  t.same(pairs('a\\ b=\\t\\u00e9\\:\nk\\=x=1'), [
    ['a b', '\té:'],
    ['k=x', '1'],
  ])
  t.end()
})

t.test('Windows line ends, a byte order mark and line numbers', t => {
  t.same(parseProperties('\uFEFFa=1\r\n\r\nb=\\\r\n2\r\n'), [
    { key: 'a', value: '1', line: 1 },
    { key: 'b', value: '2', line: 3 },
  ])
  t.end()
})
