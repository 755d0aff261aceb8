/**
 * Inode numbers as they are shown: (slot of the layer counted from the bottom, 1 and up; the inode's number there). design.md section 4.
 *
 * Where both are small they share 32 bits, the slot above the number: 32-bit programs without large file support get EOVERFLOW for more (stat(2), readdir(3)). Else the slot is
 * in the highest bits. All numbers are words, low and high, of 64 bits.
 */

/** Numbers up to 134 million, of an upper and thirty lowers, are narrow. */
const NARROW_BITS = 27;
const NARROW_SLOTS = 31;

function isNarrow(low: number, high: number, slot: number): boolean {
  return high === 0 && low >>> NARROW_BITS === 0 && slot <= NARROW_SLOTS;
}

/** Low word of what is shown, signed. */
export function shownLow(low: number, high: number, slot: number): number {
  return isNarrow(low, high, slot) ? low | (slot << NARROW_BITS) : low | 0;
}

/** High word of it. */
export function shownHigh(low: number, high: number, slot: number): number {
  return isNarrow(low, high, slot) ? 0 : high ^ (slot << 16);
}

/** Low word of the number in the layer, signed, of the one shown. */
export function lowOf(low: number, high: number): number {
  return high === 0 ? low & ((1 << NARROW_BITS) - 1) : low | 0;
}
