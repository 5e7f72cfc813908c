/** Placeholder. */
export interface ConsumerPatch {
  readonly checkedTopicsVersion?: number
}
