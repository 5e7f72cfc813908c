/**
 * A response of any API that says one error, wherever that API says errors: once for each item that the request names
 * (a partition, a topic, a resource), or at the top where it names none. It is built from the schemas alone, so that an
 * injected error looks like a real one in every version.
 *
 *     request   topics: [{ name: 'a', partitions: [{ partitionIndex: 3, timestamp: -1 }] }]
 *     response  topics: [{ name: 'a', partitions: [{ partitionIndex: 3, errorCode: 6, offset: -1, ... }] }]
 */
import { type Api } from '../../client/protocol/apis.ts'
import { type FieldLayout, type StructLayout } from '../../client/protocol/compile.ts'
import { type ErrorCode, errorMessage } from '../../client/protocol/errors.ts'
import { layoutOf } from '../../client/protocol/schema.ts'
import { ZERO_TOPIC_ID } from '../../client/protocol/types.ts'

type Struct = Readonly<Record<string, unknown>>

/** What a response calls differently from its request. */
const OTHER_NAMES: Readonly<Record<string, readonly string[]>> = {
  partitionIndex: ['partition', 'index'],
  partition: ['partitionIndex', 'index'],
  index: ['partitionIndex', 'partition'],
  name: ['topic'],
  topic: ['name'],
}

/** `request` is what was decoded, of the version `version`. */
export function errorResponse(api: Api, version: number, request: unknown, error: ErrorCode): object {
  return mirror(layoutOf(api.response, version), request as Struct, error).struct
}

interface Mirrored {
  readonly struct: Record<string, unknown>
  /** The error stands somewhere in it. */
  readonly saysError: boolean
}

function mirror(layout: StructLayout, request: Struct, error: ErrorCode): Mirrored {
  const struct: Record<string, unknown> = {}
  let saysError = false
  for (const field of layout.fields) {
    if (!field.present || field.name === 'errorCode') continue
    const items = mirrorItems(field, request, error)
    if (items !== null) saysError ||= items.length > 0
    struct[field.name] = items ?? sameValue(field, request) ?? without(field)
  }
  const hasCode = layout.fields.some(field => field.present && field.name === 'errorCode')
  // The innermost place says it: whoever is told of a partition's error expects none at the top.
  if (hasCode) struct['errorCode'] = saysError ? 0 : error
  if (hasCode && !saysError && 'errorMessage' in struct) struct['errorMessage'] = errorMessage(error)
  return { struct, saysError: saysError || hasCode }
}

/** One element for each that the request names; null where the field is not about such items. */
function mirrorItems(field: FieldLayout, request: Struct, error: ErrorCode): unknown[] | null {
  if (field.type.kind !== 'array' || field.type.element.kind !== 'struct') return null
  const { struct: element } = field.type.element
  if (!mentionsErrors(element)) return null
  return itemsOf(request, field.name).map(item => {
    const named = typeof item === 'object' && item !== null ? (item as Struct) : keyed(element, item)
    return mirror(element, named, error).struct
  })
}

/** The items that a request names: of the field of the same name, else of its first list that has any. */
function itemsOf(request: Struct, name: string): readonly unknown[] {
  const same = request[name]
  if (Array.isArray(same) && same.length > 0) return same
  const lists = Object.values(request).filter((value): value is unknown[] => Array.isArray(value))
  return lists.find(list => list.length > 0) ?? []
}

/** An item that is only a name or a number stands for the first field of the response's element that fits. */
function keyed(element: StructLayout, item: unknown): Struct {
  const scalars = typeof item === 'string' ? ['string'] : ['int32']
  const key = element.fields.find(
    ({ name, present, type }) =>
      present && type.kind === 'scalar' && scalars.includes(type.scalar) && name !== 'errorMessage',
  )
  return key === undefined ? {} : { [key.name]: item }
}

function mentionsErrors(layout: StructLayout): boolean {
  return layout.fields.some(({ name, present, type }) => {
    if (!present) return false
    if (name === 'errorCode') return true
    return type.kind === 'array' && type.element.kind === 'struct' && mentionsErrors(type.element.struct)
  })
}

function sameValue(field: FieldLayout, request: Struct): unknown {
  if (field.type.kind !== 'scalar' || field.name === 'errorMessage') return undefined
  for (const name of [field.name, ...(OTHER_NAMES[field.name] ?? [])]) {
    const value = request[name]
    if (value !== undefined && value !== null && fits(field.type.scalar, value)) return value
  }
  return undefined
}

function fits(scalar: string, value: unknown): boolean {
  if (scalar === 'string' || scalar === 'uuid') return typeof value === 'string'
  if (/^u?int(8|16|32|64)$/.test(scalar)) return typeof value === 'number'
  return scalar === 'bool' && typeof value === 'boolean'
}

/** What stands for a field of which nothing is known: "none" in the protocol's own terms. */
function without(field: FieldLayout): unknown {
  const { type } = field
  if (type.kind === 'array') return field.nullable ? null : []
  if (type.kind === 'struct') {
    if (field.nullable) return null
    const { fields } = type.struct
    return Object.fromEntries(fields.filter(({ present }) => present).map(each => [each.name, without(each)]))
  }
  if (type.scalar === 'records') return Buffer.alloc(0)
  if (field.default !== undefined && field.tag !== null) return field.default
  switch (type.scalar) {
    case 'string':
      return field.nullable ? null : ''
    case 'bytes':
      return field.nullable ? null : Buffer.alloc(0)
    case 'uuid':
      return ZERO_TOPIC_ID
    case 'bool':
      return false
    case 'bigInt64':
      return -1n
    case 'int64':
      // Offsets and timestamps: there is none.
      return -1
    default:
      return typeof field.default === 'number' ? field.default : 0
  }
}
