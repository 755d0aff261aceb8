/**
 * From paths, which libfuse's high-level interface speaks of, to the overlay's nodes. What was found is remembered; each path that is remembered has counted
 * one lookup on its node, so the node lives as long as that.
 */
import { Errno } from '../../errno';
import { isAmbiguous } from './names';

/** NAME_MAX: the kernel's FUSE would send up to 1,024. */
const LONGEST = 255;
const ROOT = 1;

export class Nodes {
  private readonly byPath = new Map<string, number>([['/', ROOT]]);

  constructor(
    /** the node of `name` in `directory`, a lookup counted: > 0, or a negative errno */
    private readonly lookup: (directory: number, name: Buffer) => number,
    private readonly forget: (node: number) => void,
    private readonly most: number,
  ) {}

  /** The node that the path leads to, or a negative errno. */
  find(path: string): number {
    const known = this.byPath.get(path);
    if (known !== undefined) return known;
    if (isAmbiguous(path)) return -Errno.ENOENT;
    const slash = path.lastIndexOf('/');
    const parent = this.find(path.slice(0, slash) || '/');
    if (parent < 0) return parent;
    const name = Buffer.from(path.slice(slash + 1));
    if (name.length > LONGEST) return -Errno.ENAMETOOLONG;
    const node = this.lookup(parent, name);
    if (node > 0) this.byPath.set(path, node);
    return node;
  }

  /** Between two operations: when much is remembered, what nobody has open is forgotten. */
  tidy(isOpen: (node: number) => boolean): void {
    if (this.byPath.size <= this.most) return;
    for (const [path, node] of this.byPath) {
      if (node === ROOT || isOpen(node)) continue;
      this.byPath.delete(path);
      this.forget(node);
    }
  }
}
