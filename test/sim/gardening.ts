/** How bugs are planted: methods and getters of classes are replaced, and put back. */
import { type Env } from '../../broker/env.ts'
import { type MetaStore } from '../../broker/metastore/metastore.ts'

export interface Plant {
  readonly name: string
  /** Changes the code under test; the returned function undoes it. */
  readonly plant?: () => () => void
  readonly wrapEnv?: (env: Env) => Env
  readonly wrapStore?: (store: MetaStore) => MetaStore
}

export function replace<T extends object, K extends keyof T>(
  prototype: T,
  name: K,
  mutate: (original: T[K]) => T[K],
): () => void {
  const original = prototype[name]
  prototype[name] = mutate(original)
  return () => {
    prototype[name] = original
  }
}

export function replaceGetter<T extends object, K extends keyof T & string>(
  prototype: T,
  name: K,
  get: (of: T) => T[K],
): () => void {
  const original = Object.getOwnPropertyDescriptor(prototype, name)!
  Object.defineProperty(prototype, name, {
    ...original,
    get(this: T) {
      return get(this)
    },
  })
  return () => void Object.defineProperty(prototype, name, original)
}
