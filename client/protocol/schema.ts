/**
 * The language in which messages are described: one description per message, for all its versions. The types of what
 * is decoded and of what may be encoded follow from it, and so does the code: a description is resolved for one
 * version at a time (`layoutOf`) and compiled to two functions when that version is first used.
 *
 * The rules are those of Kafka's message definitions (KIP-482 for flexible versions and tagged fields):
 * - a field that a version lacks is decoded to its default; encoding another value than the default into such a
 *   version is an `UnsupportedVersionError`, unless the field is ignorable;
 * - a field that has a default, or is absent from some version, may be left out by whoever encodes;
 * - tagged fields are left out on the wire when they hold their default; those that nobody here knows are kept, in
 *   `unknownTaggedFields`, and written back where they came from.
 */
import { assert } from './assert.ts'
import {
  type CompiledMessage,
  compile,
  type FieldDefault,
  type FieldLayout,
  type StructLayout,
  type TypeLayout,
} from './compile.ts'
import { ProtocolError, UnsupportedVersionError } from './errors.ts'
import { type Reader } from './reader.ts'
import { type ProducerId, type TopicId, ZERO_TOPIC_ID } from './types.ts'
import { type Writer } from './writer.ts'

export type Scalar =
  | 'int8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'int64'
  | 'bigint64'
  | 'float64'
  | 'bool'
  | 'uuid'
  | 'string'
  | 'bytes'
  | 'records'

/**
 * In which versions a field is there, and as what. Versions that a message does not have may be named; they do
 * not count.
 */
export interface Options<T> {
  /** The first version that has the field; without it, all. */
  readonly since?: number
  /** The last version that has the field. */
  readonly until?: number
  /** May be null: in every version, or from this one on. */
  readonly nullable?: true | number
  /**
   * What stands for the field where it is left out. Where a default is needed and none is named: zero, '',
   * false, or empty.
   */
  readonly default?: T | null
  /** Makes it a tagged field: out of line, left out when it holds its default. */
  readonly tag?: number
  /** The value may be dropped where a version has no room for it. */
  readonly ignorable?: true
}

type NoOptions = Record<never, never>

/** Carries the types of a field; no such property exists. */
declare const types: unique symbol

/**
 * One field of a structure: `Value` is what is decoded, `Given` what may be encoded, `Omittable` whether it may
 * be left out.
 */
export class Field<Value = unknown, Given = Value, Omittable extends boolean = boolean> {
  declare readonly [types]?: { readonly value: Value; readonly given: Given; readonly omittable: Omittable }
  /** A scalar, the fields of a structure, or the one kind of element of an array. */
  readonly type: Scalar | Fields | readonly [Field]
  readonly options: Options<unknown>

  constructor(type: Scalar | Fields | readonly [Field], options: Options<unknown> = {}) {
    this.type = type
    this.options = options
  }
}

/** The fields of a structure in the order of the wire, by name. */
export interface Fields {
  readonly [name: string]: Field
}

type Nullable<T, O> = O extends { readonly nullable: true | number } ? T | null : T
type Omittable<O> = O extends
  | { readonly since: number }
  | { readonly until: number }
  | { readonly default: unknown }
  | { readonly tag: number }
  ? true
  : false

/** A tagged field that the schema does not know, as it came. `data` is a slice of the frame. */
export interface UnknownTaggedField {
  readonly tag: number
  readonly data: Uint8Array
}

/** Every structure has room for what a newer peer may have added. Absent where there is nothing. */
export interface MayHoldUnknownFields {
  unknownTaggedFields?: readonly UnknownTaggedField[]
}

type TypesOf<F> = F extends { readonly [types]?: infer T } ? NonNullable<T> : never
type ValueOf<F> = TypesOf<F> extends { readonly value: infer V } ? V : never
type GivenOf<F> = TypesOf<F> extends { readonly given: infer G } ? G : never
type OmittableNames<F extends Fields> = {
  [Name in keyof F]: TypesOf<F[Name]> extends { readonly omittable: true } ? Name : never
}[keyof F]

/** What a structure decodes to. */
export type StructValue<F extends Fields> = { [Name in keyof F]: ValueOf<F[Name]> } & MayHoldUnknownFields
/** What a structure may be encoded from. */
export type StructGiven<F extends Fields> = {
  readonly [Name in Exclude<keyof F, OmittableNames<F>>]: GivenOf<F[Name]>
} & { readonly [Name in OmittableNames<F>]?: GivenOf<F[Name]> | undefined } & Readonly<MayHoldUnknownFields>

function scalar<T, Given = T>(type: Scalar) {
  return <const O extends Options<Given> = NoOptions>(
    options?: O,
  ): Field<Nullable<T, O>, Nullable<Given, O>, Omittable<O>> => new Field(type, options)
}

export const int8 = scalar<number>('int8')
export const int16 = scalar<number>('int16')
export const uint16 = scalar<number>('uint16')
export const int32 = scalar<number>('int32')
/** A 64-bit number to calculate with: an offset, a time, a size. Within +-(2^53-1), or the bytes are malformed. */
export const int64 = scalar<number>('int64')
/** A 64-bit number in its full range, for the few fields that use it. */
export const bigint64 = scalar<bigint>('bigint64')
/** The opaque 64-bit id of a producer. */
export const producerId = scalar<ProducerId, bigint>('bigint64')
export const float64 = scalar<number>('float64')
export const bool = scalar<boolean>('bool')
/** 32 lower-case hexadecimal digits; both cases are taken when encoding. */
export const uuid = scalar<TopicId, string>('uuid')
export const string = scalar<string>('string')
/** Decodes to a slice of the frame: who keeps it for longer than the frame copies it. */
export const bytes = scalar<Uint8Array>('bytes')

/**
 * Record batches, undecoded: a slice of the frame, or null. May be encoded from slices that follow each other,
 * which are sent by reference.
 */
export function records<const O extends Options<Uint8Array> = NoOptions>(
  options?: O,
): Field<Uint8Array | null, Uint8Array | readonly Uint8Array[] | null, Omittable<O>> {
  return new Field('records', options)
}

/** A structure within a structure. */
export function struct<const F extends Fields, const O extends Options<never> = NoOptions>(
  fields: F,
  options?: O,
): Field<Nullable<StructValue<F>, O>, Nullable<StructGiven<F>, O>, Omittable<O>> {
  return new Field(fields, options)
}

/** An array of structures, or of scalars (`array(int32())`). */
export function array<V, G, const O extends Options<never> = NoOptions>(
  element: Field<V, G>,
  options?: O,
): Field<Nullable<V[], O>, Nullable<readonly G[], O>, Omittable<O>>
export function array<const F extends Fields, const O extends Options<never> = NoOptions>(
  fields: F,
  options?: O,
): Field<Nullable<StructValue<F>[], O>, Nullable<readonly StructGiven<F>[], O>, Omittable<O>>
export function array(element: Field | Fields, options?: Options<never>): Field<never, never> {
  return new Field([element instanceof Field ? element : new Field(element)], options)
}

/** One version of a message. */
export interface Codec<Value, Given> {
  /**
   * Reads the message, which must end where the reader ends. Throws MalformedError; byte fields are slices of
   * the reader's buffer.
   */
  decode(reader: Reader): Value
  /**
   * Throws UnsupportedVersionError where a field holds what the version cannot carry, and UnencodableError where a
   * value does not fit; the writer then holds an undefined part of the message. Records are taken by reference.
   */
  encode(writer: Writer, value: Given): void
}

/** A message in all its versions. */
export interface Message<Value = unknown, Given = Value> {
  readonly name: string
  readonly minVersion: number
  readonly maxVersion: number
  /** The first flexible version; Infinity where there is none. */
  readonly flexibleSince: number
  readonly fields: Fields
  /** The codec of one version, compiled when first asked for. Throws UnsupportedVersionError. */
  at(version: number): Codec<Value, Given>
  /**
   * The same with 64-bit integers as bigint, and float64 as the bigint of its bits: for tools that must not lose
   * any.
   */
  exactAt(version: number): Codec<unknown, unknown>
}

/** What a message decodes to: `type ProduceRequest = Infer<typeof ProduceRequest>`. */
export type Infer<M> = M extends { at(version: number): { decode(reader: Reader): infer Value } }
  ? Value
  : never
/** What a message may be encoded from: its defaults may be left out. */
export type Input<M> = M extends { at(version: number): { encode(writer: Writer, value: infer Given): void } }
  ? Given
  : never

export interface Versions {
  readonly min: number
  readonly max: number
  /** The first flexible version; left out where there is none. */
  readonly flexible?: number
}

/** Describes a message. `name` is Kafka's, with Request or Response at its end. */
export function message<const F extends Fields>(
  name: string,
  versions: Versions,
  fields: F,
): Message<StructValue<F>, StructGiven<F>> {
  return new Schema<StructValue<F>, StructGiven<F>>(name, versions, fields)
}

class Schema<Value, Given> implements Message<Value, Given> {
  readonly name: string
  readonly minVersion: number
  readonly maxVersion: number
  readonly flexibleSince: number
  readonly fields: Fields
  readonly #codecs: (Codec<Value, Given> | undefined)[] = []
  readonly #exactCodecs: (Codec<unknown, unknown> | undefined)[] = []

  constructor(name: string, versions: Versions, fields: Fields) {
    this.name = name
    this.minVersion = versions.min
    this.maxVersion = versions.max
    this.flexibleSince = versions.flexible ?? Number.POSITIVE_INFINITY
    this.fields = fields
  }

  at(version: number): Codec<Value, Given> {
    return (this.#codecs[version] ??= this.#compile(version, false) as Codec<Value, Given>)
  }

  exactAt(version: number): Codec<unknown, unknown> {
    return (this.#exactCodecs[version] ??= this.#compile(version, true))
  }

  #compile(version: number, exact: boolean): Codec<unknown, unknown> {
    if (!(Number.isInteger(version) && version >= this.minVersion && version <= this.maxVersion)) {
      throw new UnsupportedVersionError(
        `${this.name} has the versions ${this.minVersion} to ${this.maxVersion}, not ${version}`,
      )
    }
    return new VersionCodec(`${this.name} version ${version}`, compile(layoutOf(this, version, exact)))
  }
}

class VersionCodec implements Codec<unknown, unknown> {
  readonly #title: string
  readonly #compiled: CompiledMessage

  constructor(title: string, compiled: CompiledMessage) {
    this.#title = title
    this.#compiled = compiled
  }

  decode(reader: Reader): unknown {
    try {
      const value = this.#compiled.decode(reader)
      reader.finish()
      return value
    } catch (error) {
      throw this.#named(error)
    }
  }

  encode(writer: Writer, value: unknown): void {
    try {
      this.#compiled.encode(writer, value)
    } catch (error) {
      throw this.#named(error)
    }
  }

  /** Says which message it was: the primitives do not know. */
  #named(error: unknown): unknown {
    if (error instanceof ProtocolError) error.message = `${this.#title}: ${error.message}`
    return error
  }
}

/** What a description says about one version. */
export function layoutOf(message: Message, version: number, exact = false): StructLayout {
  const flexible = version >= message.flexibleSince
  return structLayout(message.name, message.fields, { version, flexible, exact })
}

interface Resolution {
  readonly version: number
  readonly flexible: boolean
  readonly exact: boolean
}

function structLayout(name: string, fields: Fields, resolution: Resolution): StructLayout {
  return {
    name,
    version: resolution.version,
    flexible: resolution.flexible,
    fields: Object.entries(fields).map(([fieldName, field]) => fieldLayout(fieldName, field, resolution)),
  }
}

function fieldLayout(name: string, field: Field, resolution: Resolution): FieldLayout {
  const { version, flexible } = resolution
  const {
    since = 0,
    until = Number.POSITIVE_INFINITY,
    nullable = false,
    tag,
    ignorable = false,
  } = field.options
  assert(/^[a-z][A-Za-z0-9]*$/.test(name), `field name ${name} is lower camel case`)
  const present = version >= since && version <= until
  assert(!(present && tag !== undefined) || flexible, `tagged field ${name} is in flexible versions only`)
  const omittable =
    since > 0 ||
    until !== Number.POSITIVE_INFINITY ||
    tag !== undefined ||
    field.options.default !== undefined
  const type = typeLayout(name, field, resolution)
  return {
    name,
    type,
    present,
    tag: tag ?? null,
    nullable: nullable === true || (nullable !== false && version >= nullable),
    ignorable,
    omittable,
    default: defaultOf(type, field.options.default),
  }
}

function typeLayout(name: string, field: Field, resolution: Resolution): TypeLayout {
  const { type } = field
  if (typeof type === 'string') {
    if (type === 'bigint64') return { kind: 'scalar', scalar: 'bigInt64' }
    if (resolution.exact && (type === 'int64' || type === 'float64'))
      return { kind: 'scalar', scalar: 'bigInt64' }
    return { kind: 'scalar', scalar: type }
  }
  if (isElement(type)) return { kind: 'array', element: typeLayout(name, type[0], resolution) }
  return { kind: 'struct', struct: structLayout(name, type, resolution) }
}

function isElement(type: Fields | readonly [Field]): type is readonly [Field] {
  return Array.isArray(type)
}

/** The default as a value: a scalar, null, or undefined for an empty array or structure. */
function defaultOf(type: TypeLayout, named: unknown): FieldDefault {
  if (named === null) return null
  if (type.kind !== 'scalar') return undefined
  switch (type.scalar) {
    case 'records':
      return null
    case 'bytes':
      return undefined
    case 'string':
      return typeof named === 'string' ? named : ''
    case 'uuid':
      return ZERO_TOPIC_ID
    case 'bool':
      return named === true
    case 'bigInt64':
      return typeof named === 'bigint' || typeof named === 'number' ? BigInt(named) : 0n
    default:
      return typeof named === 'number' ? named : 0
  }
}
