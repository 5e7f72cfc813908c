/**
 * Random values of any message in any version, made from its schema. Fields that the version lacks hold their
 * defaults, so that a value equals what comes back when it has been encoded and decoded.
 */
import fc from 'fast-check'
import {
  type FieldLayout,
  type ScalarLayout,
  type StructLayout,
  type TypeLayout,
} from '../../../client/protocol/compile.ts'

const bytes = fc.uint8Array({ maxLength: 12 }).map(array => Buffer.from(array))
const bigInt64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })

const scalars: Readonly<Record<ScalarLayout, fc.Arbitrary<unknown>>> = {
  int8: fc.integer({ min: -128, max: 127 }),
  int16: fc.integer({ min: -32768, max: 32767 }),
  uint16: fc.integer({ min: 0, max: 65535 }),
  int32: fc.integer(),
  int64: fc.maxSafeInteger(),
  bigInt64,
  float64: fc.double(),
  bool: fc.boolean(),
  uuid: fc.uint8Array({ minLength: 16, maxLength: 16 }).map(array => Buffer.from(array).toString('hex')),
  string: fc.oneof(fc.string({ maxLength: 8 }), fc.string({ unit: 'grapheme', maxLength: 60 })),
  bytes,
  records: fc.option(bytes),
}

export function arbitraryStruct(struct: StructLayout): fc.Arbitrary<Record<string, unknown>> {
  const shape: Record<string, fc.Arbitrary<unknown>> = {}
  for (const field of struct.fields) shape[field.name] = arbitraryField(field)
  const requiredKeys = Object.keys(shape)
  if (struct.flexible) shape['unknownTaggedFields'] = unknownTaggedFields(struct)
  return fc.record(shape, { requiredKeys, noNullPrototype: true })
}

function arbitraryField(field: FieldLayout): fc.Arbitrary<unknown> {
  if (!field.present) return fc.constant(null).map(() => defaultOf(field))
  const value = arbitraryType(field.type)
  return field.nullable && !(field.type.kind === 'scalar' && field.type.scalar === 'records')
    ? fc.option(value, { freq: 3 })
    : value
}

function arbitraryType(type: TypeLayout): fc.Arbitrary<unknown> {
  switch (type.kind) {
    case 'scalar':
      return scalars[type.scalar]
    case 'array':
      return fc.array(arbitraryType(type.element), { maxLength: 3 })
    case 'struct':
      return arbitraryStruct(type.struct)
    default:
      return type satisfies never
  }
}

function unknownTaggedFields(struct: StructLayout): fc.Arbitrary<unknown> {
  const known = new Set(struct.fields.filter(field => field.present).map(({ tag }) => tag))
  return fc
    .uniqueArray(fc.oneof(fc.nat({ max: 12 }), fc.nat({ max: 0xffff_ffff })), { minLength: 1, maxLength: 3 })
    .map(tags => tags.filter(tag => !known.has(tag)).sort((left, right) => left - right))
    .map(tags => (tags.length > 0 ? tags : [1_000_000]))
    .chain(tags => fc.tuple(...tags.map(tag => bytes.map(data => ({ tag, data })))))
}

/** What a decoder puts where a version lacks the field. */
export function defaultOf(field: FieldLayout): unknown {
  if (field.default !== undefined) return field.default
  switch (field.type.kind) {
    case 'scalar':
      return new Uint8Array(0)
    case 'array':
      return []
    case 'struct':
      return Object.fromEntries(field.type.struct.fields.map(inner => [inner.name, defaultOf(inner)]))
    default:
      return field.type satisfies never
  }
}
