/**
 * Reads the text of a `.properties` file by the rules of java.util.Properties: comments, three separators,
 * backslash escapes, and lines that go on. Pure; says nothing about what the names mean.
 */

export interface Property {
  readonly key: string
  readonly value: string
  /** Counted from 1: where the entry begins. */
  readonly line: number
}

/** Every entry in order; a key that stands twice comes twice (the last one holds, as in Java). */
export function parseProperties(text: string): Property[] {
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)
  const properties: Property[] = []
  for (let i = 0; i < lines.length; i++) {
    const start = i
    let logical = lines[i]!.replace(/^[ \t\f]+/, '')
    // A comment never goes on, even where it ends in a backslash.
    if (logical === '' || logical.startsWith('#') || logical.startsWith('!')) continue
    while (endsInOddBackslashes(logical) && i + 1 < lines.length) {
      logical = logical.slice(0, -1) + lines[++i]!.replace(/^[ \t\f]+/, '')
    }
    if (endsInOddBackslashes(logical)) logical = logical.slice(0, -1)
    properties.push({ ...splitEntry(logical), line: start + 1 })
  }
  return properties
}

function endsInOddBackslashes(line: string): boolean {
  let count = 0
  for (let i = line.length - 1; i >= 0 && line[i] === '\\'; i--) count++
  return count % 2 === 1
}

/** The key ends at the first `=`, `:` or blank that no backslash precedes; blanks around one separator go. */
function splitEntry(line: string): { key: string; value: string } {
  let end = 0
  while (end < line.length && !'=: \t\f'.includes(line[end]!)) end += line[end] === '\\' ? 2 : 1
  const rest = line.slice(end).replace(/^[ \t\f]*[=:]?[ \t\f]*/, '')
  return { key: unescaped(line.slice(0, end)), value: unescaped(rest) }
}

const ESCAPES: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r', f: '\f' }

/** A backslash before any other character is dropped; a malformed \u stays as it is instead of stopping the start. */
function unescaped(text: string): string {
  return text.replace(/\\(u[0-9a-fA-F]{4}|[\s\S])/g, (_, code: string) =>
    code.length === 5 ? String.fromCharCode(Number.parseInt(code.slice(1), 16)) : (ESCAPES[code] ?? code),
  )
}
