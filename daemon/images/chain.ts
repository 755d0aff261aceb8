/** A path in a chain of layers, as one sees it through all of them. */
import { FileType, type IndexRow, type LayerIndex, Whiteout } from '../store';

const SLASH = 0x2f;

/** @param layers imported ones, topmost first */
export function findInChain(layers: readonly LayerIndex[], path: Buffer): IndexRow | undefined {
  for (const layer of layers) {
    let row: IndexRow | undefined = layer.root();
    let hides = row.opaque;
    for (let at = 0; at < path.length;) {
      const slash = path.indexOf(SLASH, at);
      const end = slash < 0 ? path.length : slash;
      row = layer.child(row.id, path.subarray(at, end));
      if (row === undefined) break;
      const isLast = end === path.length;
      if (isLast && row.whiteout === Whiteout.NONE) return row;
      if (isLast || (row.mode & FileType.MASK) !== FileType.DIRECTORY) return undefined;
      hides ||= row.opaque;
      at = end + 1;
    }
    if (hides) return undefined;
  }
  return undefined;
}
