/**
 * The style that can be checked is a test. There is no list of exceptions here and there never will be one:
 * a rule that wants an exception is the wrong rule, or the code is in the wrong room.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const MAX_FILE_LINES = 600
const MAX_FUNCTION_LINES = 100
const MAX_LINE_LENGTH = 120

/** The rooms of pure state machines. */
const PURE = ['log', 'replica', 'group', 'transaction', 'controller'].map(room => `broker/${room}/`)

interface SourceFile {
  /** Path from the root, with '/'. */
  path: string
  text: string
  tree: ts.SourceFile
  /** Relative imports, as paths from the root. */
  imports: string[]
  /** Imports of types alone: they vanish when the code runs, so they cannot make a cycle. */
  typeImports: Set<string>
  /** Packages and node: modules. */
  packages: string[]
}

const sources = ['client', 'broker', 'cli', 'perf', 'test'].flatMap(folder => walk(folder)).map(parse)
const production = sources.filter(file => !file.path.startsWith('test/'))
const byPath = new Map(sources.map(file => [file.path, file]))

t.test('imports point one way', t => {
  for (const file of production) {
    for (const target of file.imports) {
      t.ok(mayImport(file.path, target), `${file.path} may import ${target}`)
    }
  }
  t.end()
})

t.test('every relative import names a file that exists', t => {
  for (const file of sources) {
    for (const target of file.imports) {
      t.ok(byPath.has(target) || target.endsWith('.json'), `${file.path} imports ${target}`)
    }
  }
  t.end()
})

t.test('pure rooms know no clock, no chance, no timers, no promises and no Node modules', t => {
  const banned = new Set([
    'Date',
    'performance',
    'setTimeout',
    'setInterval',
    'setImmediate',
    'queueMicrotask',
    'process',
    'console',
    'Promise',
    'crypto',
    'fetch',
  ])
  for (const file of production.filter(file => PURE.some(room => file.path.startsWith(room)))) {
    t.same(file.packages, [], `${file.path} imports no package`)
    visit(file.tree, node => {
      if (ts.isIdentifier(node) && banned.has(node.text) && isFreeName(node)) {
        t.fail(`${at(file, node)} uses ${node.text}`)
      }
      if (isMathRandom(node)) t.fail(`${at(file, node)} uses Math.random`)
      if (ts.isAwaitExpression(node) || node.kind === ts.SyntaxKind.AsyncKeyword) {
        t.fail(`${at(file, node)} is asynchronous`)
      }
    })
  }
  t.end()
})

t.test('broker and client reach the world through their environment only', t => {
  const worldModules =
    /^(node:)?(fs|fs\/promises|net|tls|dgram|http|http2|https|dns|child_process|cluster|worker_threads|perf_hooks|timers|timers\/promises)$/
  const worldNames = new Set(['setTimeout', 'setInterval', 'setImmediate', 'performance'])
  for (const file of production) {
    const inBroker = file.path.startsWith('broker/')
    const inClient = file.path.startsWith('client/')
    if (!inBroker && !inClient) continue
    if (file.path.startsWith('broker/env-node') || file.path === 'client/env-node.ts') continue
    for (const name of file.packages) {
      t.notOk(worldModules.test(name), `${file.path} does not import ${name}`)
    }
    visit(file.tree, node => {
      if (ts.isIdentifier(node) && worldNames.has(node.text) && isFreeName(node)) {
        t.fail(`${at(file, node)} uses ${node.text}`)
      }
      if (isMathRandom(node)) t.fail(`${at(file, node)} uses Math.random`)
      if (isDateNow(node)) t.fail(`${at(file, node)} reads the wall clock`)
    })
  }
  t.end()
})

t.test('one file knows gRPC', t => {
  const knowing = production.filter(file => file.packages.includes('@grpc/grpc-js')).map(file => file.path)
  t.same(knowing, ['broker/env-node/rpc.ts'])
  t.end()
})

t.test('no default exports', t => {
  for (const file of production) {
    visit(file.tree, node => {
      const isDefault =
        (ts.isExportAssignment(node) && !node.isExportEquals) || node.kind === ts.SyntaxKind.DefaultKeyword
      if (isDefault && !ts.isDefaultClause(node.parent)) t.fail(`${at(file, node)} exports a default`)
    })
  }
  t.end()
})

t.test('no dynamic import stands in a function that disposes of something', t => {
  // The compiler moves what lies before an `await using`, and then leaves the names of files in such imports as they
  // are: the command works from the sources, and not once it is built.
  for (const file of production) {
    visit(file.tree, node => {
      if (!ts.isCallExpression(node) || node.expression.kind !== ts.SyntaxKind.ImportKeyword) return
      const owner = ts.findAncestor(node, ts.isFunctionLike)
      if (owner !== undefined && /\bawait using\b/.test(owner.getText(file.tree)))
        t.fail(`${at(file, node)} imports beside an await using`)
    })
  }
  t.end()
})

t.test('no import cycles', t => {
  const state = new Map<string, 'open' | 'done'>()
  const trail: string[] = []
  const descend = (path: string): void => {
    if (state.get(path) === 'done') return
    if (state.get(path) === 'open') {
      t.fail(`cycle: ${[...trail.slice(trail.indexOf(path)), path].join(' -> ')}`)
      return
    }
    state.set(path, 'open')
    trail.push(path)
    const file = byPath.get(path)
    for (const target of file?.imports ?? []) if (!file?.typeImports.has(target)) descend(target)
    trail.pop()
    state.set(path, 'done')
  }
  for (const file of production) descend(file.path)
  t.end()
})

t.test('no orphan files: everything is reached from an entry', t => {
  const manifest = readFileSync(join(root, 'package.json'), 'utf8')
  const entries = production.filter(file => manifest.includes(file.path.replace(/\.ts$/, '.js')))
  // perf/*.ts are programs of their own; the scripts that start them are in package.json or perf/README.md.
  const programs = production.filter(file => /^perf\/(micro\/)?[^/]+\.ts$/.test(file.path))
  const reached = new Set<string>()
  const queue = [...entries, ...programs].map(file => file.path)
  t.not(entries.length, 0, 'package.json names entries')
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (reached.has(path)) continue
    reached.add(path)
    queue.push(...(byPath.get(path)?.imports ?? []))
  }
  for (const file of production) t.ok(reached.has(file.path), `${file.path} is reached`)
  t.end()
})

t.test('every test stands where its source stands', t => {
  const free = /^test\/(tidy\.test|[^/]*(sim|fuzz|cluster|interop|helpers|golden)\/)/
  for (const file of sources.filter(file => file.path.endsWith('.test.ts') && !free.test(file.path))) {
    const folder = dirname(file.path).replace(/^test\/?/, '')
    const exists = production.some(source => source.path.startsWith(folder === '' ? '' : `${folder}/`))
    t.ok(exists, `${file.path} mirrors a folder of the source`)
  }
  t.end()
})

t.test('files, functions and lines can be held in the head', t => {
  for (const file of sources) {
    const lines = file.text.trimEnd().split('\n')
    t.ok(lines.length <= MAX_FILE_LINES, `${file.path} has ${lines.length} lines`)
    lines.forEach((line, index) => {
      if (line.length > MAX_LINE_LENGTH && !/https?:\/\/|['"`].{60,}|^\s*\/[^/*].{60,}/.test(line)) {
        t.fail(`${file.path}:${index + 1} has ${line.length} columns`)
      }
    })
    if (file.path.startsWith('test/')) continue
    visit(file.tree, node => {
      if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined) return
      const start = file.tree.getLineAndCharacterOfPosition(node.getStart(file.tree)).line
      const end = file.tree.getLineAndCharacterOfPosition(node.getEnd()).line
      if (end - start + 1 > MAX_FUNCTION_LINES)
        t.fail(`${at(file, node)} is a function of ${end - start + 1} lines`)
    })
  }
  t.end()
})

t.test('every file of the source opens by saying what it is for', t => {
  for (const file of production) {
    t.match(file.text, /^(#!.*\n)?(\/\*\*|\/\/)/, `${file.path} opens with a comment`)
  }
  t.end()
})

// -------------------------------------------------------------------------------------- the rules of imports

/** Which folder a file of each folder may import from; the longest matching prefix decides. */
function mayImport(from: string, to: string): boolean {
  if (to.endsWith('package.json')) return true
  if (from.startsWith('client/protocol/')) return to.startsWith('client/protocol/')
  if (from.startsWith('client/')) return to.startsWith('client/')
  if (from.startsWith('cli/')) {
    return /^(cli|client|perf)\//.test(to) || /^broker\/(main|testing|index|config|storage\/dump)\b/.test(to)
  }
  if (from.startsWith('perf/')) {
    return /^(perf|client)\//.test(to) || /^broker\/(main|testing|index|storage\/|slab|env)/.test(to)
  }
  if (to.startsWith('client/')) return to.startsWith('client/protocol/') || from.startsWith('broker/testing/')
  if (!to.startsWith('broker/')) return false
  return brokerMayImport(room(from), room(to))
}

function room(path: string): string {
  const [, folder, rest] = path.split('/')
  if (rest === undefined) return folder === undefined ? '' : folder.replace(/\.ts$/, '')
  return `${folder}/`
}

function brokerMayImport(from: string, to: string): boolean {
  // The environment, slabs and configs are the common ground of the shells; the environment itself stands on nothing.
  const common = new Set(['env', 'slab'])
  switch (from) {
    case 'env':
      return false
    case 'slab':
      return to === 'env'
    case 'env-node':
    case 'env-node/':
    case 'env-memory':
    case 'env-memory/':
      return to === from || common.has(to) || to === 'env-node/' || to === 'env-memory/'
    case 'log/':
    case 'group/':
    case 'transaction/':
    case 'controller/':
      return to === from
    case 'replica/':
      return to === from || to === 'log/'
    case 'storage/':
      return to === from || common.has(to) || to === 'log/'
    case 'metastore/':
      return to === from || common.has(to) || to === 'storage/'
    case 'server/':
      return to === from || common.has(to)
    case 'config':
    case 'config/':
      return to === from || to === 'config/' || to === 'log/'
    case 'runtime/':
      return (
        to === from ||
        common.has(to) ||
        [
          'log/',
          'replica/',
          'group/',
          'transaction/',
          'controller/',
          'storage/',
          'metastore/',
          'config',
          'config/',
        ].includes(to)
      )
    case 'api/':
      return (
        to === from ||
        common.has(to) ||
        ['runtime/', 'server/', 'config', 'config/', 'controller/', 'log/', 'metastore/'].includes(to)
      )
    default:
      // broker.ts, main.ts, index.ts, testing.ts, protocol.ts: the composition; they may import every room.
      return true
  }
}

// ------------------------------------------------------------------------------------------------- reading

function walk(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => relative(root, join(entry.parentPath ?? entry.path, entry.name)).replaceAll('\\', '/'))
    .filter(path => !path.includes('node_modules'))
    .sort()
}

function parse(path: string): SourceFile {
  const text = readFileSync(join(root, path), 'utf8')
  const tree = ts.createSourceFile(path, text, ts.ScriptTarget.ESNext, true)
  const file: SourceFile = { path, text, tree, imports: [], typeImports: new Set(), packages: [] }
  visit(tree, node => {
    const specifier = moduleSpecifier(node)
    if (specifier === null) return
    if (!specifier.startsWith('.')) {
      file.packages.push(specifier)
      return
    }
    const target = normalize(join(dirname(path), specifier)).replaceAll('\\', '/')
    file.imports.push(target)
    if (isTypeOnly(node)) file.typeImports.add(target)
  })
  return file
}

function moduleSpecifier(node: ts.Node): string | null {
  if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier) {
    return ts.isStringLiteral(node.moduleSpecifier) ? node.moduleSpecifier.text : null
  }
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
    const [argument] = node.arguments
    return argument !== undefined && ts.isStringLiteral(argument) ? argument.text : null
  }
  return null
}

function isTypeOnly(node: ts.Node): boolean {
  if (!ts.isImportDeclaration(node)) return false
  const clause = node.importClause
  if (clause === undefined) return false
  if (clause.isTypeOnly) return true
  const named = clause.namedBindings
  return (
    named !== undefined && ts.isNamedImports(named) && named.elements.every(element => element.isTypeOnly)
  )
}

function visit(node: ts.Node, see: (node: ts.Node) => void): void {
  see(node)
  node.forEachChild(child => visit(child, see))
}

/** True for a name that stands for itself: not a property, a key, a type, or the name being declared. */
function isFreeName(node: ts.Identifier): boolean {
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent) && parent.name === node) return false
  if (
    ts.isTypeReferenceNode(parent) ||
    ts.isQualifiedName(parent) ||
    ts.isExpressionWithTypeArguments(parent)
  )
    return false
  if ((ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent)) && parent.name === node)
    return false
  if ((ts.isPropertyDeclaration(parent) || ts.isMethodSignature(parent)) && parent.name === node) return false
  return true
}

function isMathRandom(node: ts.Node): boolean {
  return ts.isPropertyAccessExpression(node) && node.getText() === 'Math.random'
}

function isDateNow(node: ts.Node): boolean {
  if (ts.isPropertyAccessExpression(node)) return node.getText() === 'Date.now'
  return (
    ts.isNewExpression(node) && node.expression.getText() === 'Date' && (node.arguments?.length ?? 0) === 0
  )
}

function at(file: SourceFile, node: ts.Node): string {
  const { line } = file.tree.getLineAndCharacterOfPosition(node.getStart(file.tree))
  return `${file.path}:${line + 1}`
}
