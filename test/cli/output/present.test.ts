import t from 'tap'
import { renderTable, toYaml } from '../../../cli/output/present.ts'

t.test('columns are as wide as their widest cell, and lines have no trailing space', t => {
  const rows = [
    { name: 'orders', size: 7 },
    { name: 'a', size: 1234 },
  ]
  const table = renderTable<(typeof rows)[number]>(
    [
      { title: 'size', align: 'right', value: row => row.size },
      { title: 'name', value: row => row.name },
    ],
    rows,
  )
  t.equal(table, 'SIZE  NAME\n   7  orders\n1234  a\n')
  t.end()
})

t.test('nothing is a dash, and yes and no are words', t => {
  const table = renderTable<{ a: null; b: boolean }>(
    [
      { title: 'a', value: row => row.a },
      { title: 'b', value: row => row.b },
    ],
    [{ a: null, b: true }],
  )
  t.equal(table, 'A  B\n-  yes\n')
  t.end()
})

t.test('YAML carries the data, with big numbers as text', async t => {
  t.equal(await toYaml([{ id: 5n, name: 'x', none: null }]), '- id: "5"\n  name: x\n  none: null\n')
})
