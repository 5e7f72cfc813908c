/** Placeholder. */
export interface ClassicPatch {
  readonly state?: string
}
