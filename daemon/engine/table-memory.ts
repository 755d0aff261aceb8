/** The memory of an engine's node table. */
import { Memory } from '../overlay/table/memory';

/** As large as offsets of 31 bits reach, or what a limit on address space lets us have. It is sparse. */
const TABLE_MEBIBYTES = [2047, 1024, 512, 256];

export function makeMemory(): Memory {
  for (const size of TABLE_MEBIBYTES.slice(0, -1)) {
    try {
      return Memory.create(size);
    } catch {
      // the next smaller one
    }
  }
  return Memory.create(TABLE_MEBIBYTES[TABLE_MEBIBYTES.length - 1]);
}
