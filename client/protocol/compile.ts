/**
 * Turns the layout of one version of a message into two straight-line functions, by writing their source. A message
 * is decoded and encoded for every request, so nothing may be looked up by name or version then; and the literal
 * that a generated decoder returns gives every value of a message the same hidden class, whatever its version.
 *
 * Nothing but the schemas of this package reaches the source: names are checked to be plain identifiers, and
 * defaults are numbers, booleans and quoted strings.
 */
import { UnsupportedVersionError } from './errors.ts'
import { type Reader } from './reader.ts'
import { type Writer } from './writer.ts'

/** Named as the methods of `Reader` and `Writer` that carry them. */
export type ScalarLayout =
  | 'int8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'int64'
  | 'bigInt64'
  | 'float64'
  | 'bool'
  | 'uuid'
  | 'string'
  | 'bytes'
  | 'records'

export type TypeLayout =
  | { readonly kind: 'scalar'; readonly scalar: ScalarLayout }
  | { readonly kind: 'array'; readonly element: TypeLayout }
  | { readonly kind: 'struct'; readonly struct: StructLayout }

/** Undefined stands for what is empty: bytes, an array, a structure whose fields all hold their defaults. */
export type FieldDefault = number | bigint | boolean | string | null | undefined

export interface FieldLayout {
  readonly name: string
  readonly type: TypeLayout
  /** Whether this version has it. */
  readonly present: boolean
  readonly tag: number | null
  /** Whether it may be null in this version. */
  readonly nullable: boolean
  /** Whether it may be dropped silently where this version lacks it. */
  readonly ignorable: boolean
  /** Whether whoever encodes may leave it out. */
  readonly omittable: boolean
  /** What stands for it where it is left out or lacking. */
  readonly default: FieldDefault
}

export interface StructLayout {
  readonly name: string
  readonly version: number
  readonly flexible: boolean
  readonly fields: readonly FieldLayout[]
}

export interface CompiledMessage {
  decode(reader: Reader): unknown
  encode(writer: Writer, value: unknown): void
}

/** Throws what it must where a version cannot carry a value; called by generated code. */
function refuse(field: string): never {
  throw new UnsupportedVersionError(`this version has no field ${field}, and it does not hold its default`)
}

export function compile(layout: StructLayout): CompiledMessage {
  const source = new Source()
  const decode = source.structDecoder(layout)
  const encode = source.structEncoder(layout)
  const result = `return { decode: ${decode}, encode: ${encode} }`
  const where = `//# sourceURL=sluice:${layout.name}.v${layout.version}`
  return new Function('refuse', `'use strict'\n${source.text()}${result}\n${where}`)(
    refuse,
  ) as CompiledMessage
}

const MIN_SCALAR_BYTES: Readonly<Record<ScalarLayout, number>> = {
  int8: 1,
  int16: 2,
  uint16: 2,
  int32: 4,
  int64: 8,
  bigInt64: 8,
  float64: 8,
  bool: 1,
  uuid: 16,
  string: 2,
  bytes: 4,
  records: 4,
}

/** The least that a value takes on the wire, so that a count can be refused before anything is allocated. */
function minimumBytes(type: TypeLayout, flexible: boolean, nullable: boolean): number {
  switch (type.kind) {
    case 'array':
      return flexible ? 1 : 4
    case 'struct':
      return nullable ? 1 : minimumStructBytes(type.struct)
    case 'scalar':
      if (flexible && (type.scalar === 'string' || type.scalar === 'bytes' || type.scalar === 'records'))
        return 1
      return MIN_SCALAR_BYTES[type.scalar]
    default:
      return type satisfies never
  }
}

function minimumStructBytes(struct: StructLayout): number {
  let bytes = struct.flexible ? 1 : 0
  for (const field of struct.fields) {
    if (inBody(field)) bytes += minimumBytes(field.type, struct.flexible, field.nullable)
  }
  return Math.max(bytes, 1)
}

function inBody(field: FieldLayout): boolean {
  return field.present && field.tag === null
}

/** The known tagged fields of a structure, in the order of the wire. */
function taggedFields(struct: StructLayout): FieldLayout[] {
  return struct.fields
    .filter(field => field.present && field.tag !== null)
    .sort((left, right) => left.tag! - right.tag!)
}

/** The method of `Reader` or `Writer` for a value that has a compact and a nullable form. */
function variant(method: string, flexible: boolean, nullable: boolean): string {
  const nullableMethod = nullable ? `nullable${capital(method)}` : method
  return flexible ? `compact${capital(nullableMethod)}` : nullableMethod
}

function capital(name: string): string {
  return name[0]!.toUpperCase() + name.slice(1)
}

function literal(value: number | bigint | boolean | string): string {
  return typeof value === 'bigint' ? `${value}n` : JSON.stringify(value)
}

/** Gathers the functions of one message. Every method returns the name of a function, or an expression. */
class Source {
  readonly #functions: string[] = []
  readonly #names = new Set<string>()

  text(): string {
    return this.#functions.join('')
  }

  /** A name that is free, close to the wanted one: it shows in stack traces and profiles. */
  #name(wanted: string): string {
    let name = wanted
    for (let number = 2; this.#names.has(name); number++) name = `${wanted}${number}`
    this.#names.add(name)
    return name
  }

  #define(name: string, parameters: string, lines: readonly string[]): string {
    this.#functions.push(`function ${name}(${parameters}) {\n${lines.map(line => `  ${line}\n`).join('')}}\n`)
    return name
  }

  // -------------------------------------------------------------------------------------------- decoding

  structDecoder(struct: StructLayout): string {
    const name = this.#name(`decode${capital(struct.name)}`)
    const tagged = taggedFields(struct)
    const lines: string[] = []
    for (const field of struct.fields) {
      if (inBody(field)) lines.push(`const _${field.name} = ${this.#decoded(field, struct.flexible)}`)
    }
    for (const field of tagged) lines.push(`let _${field.name} = ${this.#defaultExpression(field)}`)
    if (tagged.length > 0) lines.push(...this.#tagLoop(tagged))
    else if (struct.flexible) lines.push('const unknown = reader.unknownTaggedFields()')
    lines.push('const value = {')
    for (const field of struct.fields) {
      lines.push(`  ${field.name}: ${field.present ? `_${field.name}` : this.#defaultExpression(field)},`)
    }
    lines.push('}')
    if (struct.flexible) lines.push('if (unknown !== undefined) value.unknownTaggedFields = unknown')
    lines.push('return value')
    return this.#define(name, 'reader', lines)
  }

  #tagLoop(tagged: readonly FieldLayout[]): string[] {
    const lines = [
      'let unknown',
      'let tag = -1',
      'for (let left = reader.taggedFieldCount(); left > 0; left--) {',
      '  tag = reader.tagAfter(tag)',
      '  const end = reader.taggedFieldEnd()',
      '  switch (tag) {',
    ]
    for (const field of tagged) {
      lines.push(`    case ${field.tag}:`, `      _${field.name} = ${this.#taggedDecoded(field)}`)
      lines.push('      reader.endTaggedField(end)', '      break')
    }
    lines.push('    default:', '      unknown ??= []')
    lines.push('      unknown.push({ tag, data: reader.slice(end - reader.position) })', '  }', '}')
    return lines
  }

  /** A tagged structure that may be null has the marker of a nullable array before it, not that of a structure. */
  #taggedDecoded(field: FieldLayout): string {
    const { type, nullable } = field
    if (type.kind !== 'struct' || !nullable) return this.#decoded(field, true)
    return `reader.uvarint() > 0 ? ${this.structDecoder(type.struct)}(reader) : null`
  }

  #decoded(field: FieldLayout, flexible: boolean): string {
    return this.#decodedType(field.name, field.type, flexible, field.nullable)
  }

  #decodedType(name: string, type: TypeLayout, flexible: boolean, nullable: boolean): string {
    switch (type.kind) {
      case 'scalar': {
        const { scalar } = type
        if (scalar === 'string' || scalar === 'bytes')
          return `reader.${variant(scalar, flexible, nullable)}()`
        if (scalar === 'records') return `reader.${variant('bytes', flexible, true)}()`
        return `reader.${scalar}()`
      }
      case 'array':
        return `${this.#arrayDecoder(name, type.element, flexible, nullable)}(reader)`
      case 'struct': {
        const call = `${this.structDecoder(type.struct)}(reader)`
        return nullable ? `reader.present() ? ${call} : null` : call
      }
      default:
        return type satisfies never
    }
  }

  #arrayDecoder(name: string, element: TypeLayout, flexible: boolean, nullable: boolean): string {
    const lengthMethod = variant('arrayLength', flexible, nullable)
    return this.#define(this.#name(`decode${capital(name)}Array`), 'reader', [
      `const length = reader.${lengthMethod}(${minimumBytes(element, flexible, false)})`,
      ...(nullable ? ['if (length < 0) return null'] : []),
      'const array = []',
      `for (let index = 0; index < length; index++) array.push(${this.#decodedType(name, element, flexible, false)})`,
      'return array',
    ])
  }

  /** A fresh default: whoever got it may change it. */
  #defaultExpression(field: FieldLayout): string {
    const value = field.default
    if (value === null) return 'null'
    if (value !== undefined) return literal(value)
    switch (field.type.kind) {
      case 'array':
        return '[]'
      case 'scalar':
        return 'new Uint8Array(0)'
      case 'struct':
        return `{ ${field.type.struct.fields
          .map(inner => `${inner.name}: ${this.#defaultExpression(inner)}`)
          .join(', ')} }`
      default:
        return field.type satisfies never
    }
  }

  // -------------------------------------------------------------------------------------------- encoding

  structEncoder(struct: StructLayout): string {
    const name = this.#name(`encode${capital(struct.name)}`)
    const lines: string[] = []
    for (const field of struct.fields) {
      if (!field.present && !field.ignorable) {
        lines.push(`if (!(${this.#isDefault(field)})) refuse(${literal(field.name)})`)
      }
    }
    for (const field of struct.fields) {
      if (!inBody(field)) continue
      lines.push(`let _${field.name} = value.${field.name}`)
      if (field.omittable) {
        lines.push(`if (_${field.name} === undefined) _${field.name} = ${this.#defaultExpression(field)}`)
      }
      lines.push(this.#encoded(field, struct.flexible))
    }
    const tagged = taggedFields(struct)
    if (tagged.length > 0) lines.push(...this.#taggedEncoder(tagged))
    else if (struct.flexible) lines.push('writer.unknownTaggedFields(value.unknownTaggedFields)')
    else lines.push("if (value.unknownTaggedFields !== undefined) refuse('unknownTaggedFields')")
    return this.#define(name, 'writer, value', lines)
  }

  #taggedEncoder(tagged: readonly FieldLayout[]): string[] {
    const lines = [
      'const unknown = value.unknownTaggedFields',
      'let count = unknown === undefined ? 0 : unknown.length',
    ]
    for (const { tag, ...field } of tagged) {
      lines.push(`const has${tag} = !(${this.#isDefault({ tag, ...field })})`, `if (has${tag}) count++`)
    }
    lines.push('writer.uvarint(count)', 'if (count === 0) return', 'let next = 0')
    for (const field of tagged) {
      lines.push(
        `next = writer.unknownTaggedFieldsBelow(unknown, next, ${field.tag})`,
        `if (has${field.tag}) {`,
        `  const _${field.name} = value.${field.name}`,
        '  const outer = writer',
        '  writer = outer.nested()',
        `  ${this.#taggedEncoded(field)}`,
        `  outer.taggedField(${field.tag}, writer)`,
        '  writer = outer',
        '}',
      )
    }
    lines.push('writer.unknownTaggedFieldsBelow(unknown, next, Infinity)')
    return lines
  }

  #taggedEncoded(field: FieldLayout): string {
    const { name, type, nullable } = field
    if (type.kind !== 'struct' || !nullable) return this.#encoded(field, true)
    const marker = `writer.uvarint(_${name} === null ? 0 : 1)`
    return `${marker}; if (_${name} !== null) ${this.structEncoder(type.struct)}(writer, _${name})`
  }

  #encoded(field: FieldLayout, flexible: boolean): string {
    return this.#encodedType(field.name, field.type, `_${field.name}`, flexible, field.nullable)
  }

  #encodedType(name: string, type: TypeLayout, value: string, flexible: boolean, nullable: boolean): string {
    switch (type.kind) {
      case 'scalar': {
        const { scalar } = type
        if (scalar === 'string' || scalar === 'bytes')
          return `writer.${variant(scalar, flexible, nullable)}(${value})`
        if (scalar === 'records') return `writer.${variant(scalar, flexible, false)}(${value})`
        return `writer.${scalar}(${value})`
      }
      case 'array':
        return `${this.#arrayEncoder(name, type.element, flexible, nullable)}(writer, ${value})`
      case 'struct': {
        const call = `${this.structEncoder(type.struct)}(writer, ${value})`
        return nullable ? `if (writer.presence(${value})) ${call}` : call
      }
      default:
        return type satisfies never
    }
  }

  #arrayEncoder(name: string, element: TypeLayout, flexible: boolean, nullable: boolean): string {
    const lengthMethod = variant('arrayLength', flexible, nullable)
    return this.#define(this.#name(`encode${capital(name)}Array`), 'writer, array', [
      `writer.${lengthMethod}(array)`,
      ...(nullable ? ['if (array === null) return'] : []),
      'for (let index = 0; index < array.length; index++) {',
      '  const element = array[index]',
      `  ${this.#encodedType(name, element, 'element', flexible, false)}`,
      '}',
    ])
  }

  /** An expression that is true where `value` leaves the field out or gives it its default. */
  #isDefault(field: FieldLayout): string {
    const given = `value.${field.name}`
    const value = field.default
    if (value === null) return `${given} === undefined || ${given} === null`
    if (value !== undefined) return `${given} === undefined || ${given} === ${literal(value)}`
    if (field.type.kind !== 'struct')
      return `${given} === undefined || (${given} !== null && ${given}.length === 0)`
    return `${given} === undefined || ${this.#emptinessOf(field.type.struct)}(${given})`
  }

  /** A function that tells whether a structure holds nothing but defaults. */
  #emptinessOf(struct: StructLayout): string {
    const conditions = struct.fields.map(field => `(${this.#isDefault(field)})`)
    return this.#define(this.#name(`holdsDefaults${capital(struct.name)}`), 'value', [
      `return value !== null && value.unknownTaggedFields === undefined && ${conditions.join(' && ')}`,
    ])
  }
}
