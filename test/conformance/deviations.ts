/**
 * Where a file system is known not to behave as the host does, and why. A difference that is not listed here fails; so does an entry
 * that no run shows any more.
 */
export interface Deviation {
  /** whose: the kernel's overlayfs, or plyfs by decision (design.md says so) */
  of: 'kernel' | 'plyfs';
  /** "subject: name" of the cases, as a whole or by a pattern */
  cases: string | RegExp;
  /** fields of the facts; default all */
  field?: string | RegExp;
  /** the step, without its number; default all */
  step?: RegExp;
  why: string;
  /** of the kernel: plyfs may do the same */
  plyfsMay?: boolean;
  /** not seen with every number of lowers, or on every run */
  sometimes?: boolean;
}

export const deviations: readonly Deviation[] = [];
