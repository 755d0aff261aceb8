/** The trees of all cases put together: one stack of lowers, one upper, one host tree. */
import { type Tree, merge, spread, under } from '../support/layers.js';
import type { Prepared } from './model.js';

export interface Stack {
  lowers: Tree[];
  upper: Tree;
  host: Tree;
}

/** Where explicit layers go in a deeper stack: the first on top, the last at the bottom. */
function place(layers: readonly Tree[], count: number): Tree[] {
  const placed = Array.from({ length: count }, (): Tree => ({}));
  for (const [index, layer] of layers.entries())
    placed[layers.length === 1 ? 0 : Math.round((index * (count - 1)) / (layers.length - 1))] = layer;
  return placed;
}

/** Whether a case can be had with that many lowers. */
export const fits = ({ one }: Prepared, count: number): boolean => (one.layers?.length ?? 1) <= count;

export function compose(cases: readonly Prepared[], count: number): Stack {
  const stack: Stack = { lowers: Array.from({ length: count }, (): Tree => ({})), upper: {}, host: {} };
  for (const { id, one } of cases) {
    const upper = one.upper ? under(id, one.upper) : {};
    const lowers = one.layers
      ? place(
          one.layers.map((layer) => under(id, layer)),
          count,
        )
      : spread(under(id, one.lower ?? {}), count);
    lowers.forEach((lower, index) => Object.assign(stack.lowers[index], lower));
    Object.assign(stack.upper, upper);
    Object.assign(stack.host, one.merged ? under(id, one.merged) : merge(one.upper ? [upper, ...lowers] : lowers));
  }
  return stack;
}
