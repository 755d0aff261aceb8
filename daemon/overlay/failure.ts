/**
 * What a layer answers to a question about a mark that may be there or not: yes, no, or that it cannot say. The last must not be taken for a
 * no: a directory that is opaque would show what it hides. It ends the operation, as an exception, with the layer's errno.
 */
import { Errno } from '../errno';

/** Ends the operation under way with an errno. Caught where operations begin (index.ts); `finally` unlocks on the way. */
export class LayerError extends Error {
  constructor(readonly errno: number) {
    super(`a layer does not answer (errno ${errno})`);
  }
}

/** Is that what an xattr call says where there is no such xattr, or one that is no mark of ours? */
export function isAbsent(result: number): boolean {
  return result === -Errno.ENODATA || result === -Errno.ENOENT || result === -Errno.EOPNOTSUPP || result === -Errno.ERANGE;
}

/** The result of a getxattr: its length, or that it is not there (negative). Throws where the layer cannot say. */
export function asked(result: number): number {
  if (result < 0 && !isAbsent(result)) throw new LayerError(-result);
  return result;
}
