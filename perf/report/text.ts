/** Figures as text, the same in all reports. Pure. */

/** 1,234.5 */
export function number(value: number, digits = 0): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** Milliseconds with as many digits as mean something. */
export function milliseconds(value: number): string {
  return number(value, value < 1 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0)
}

/** 3 members, 1 member */
export function amount(value: number, noun: string): string {
  return `${number(value)} ${noun}${value === 1 ? '' : 's'}`
}
