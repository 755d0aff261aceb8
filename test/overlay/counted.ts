/** Counts what is asked of native-bindings. To be imported before whatever uses it: from then on `native` is a copy that counts. */
import { type Native } from '../../native-bindings/index.js';

const COUNTED = ['stat', 'statAll', 'getxattr', 'listxattr', 'lseek', 'openDirectory'];

const counts = new Map<string, number>();

/** What happens before a call. */
export const hook: { before: (name: string) => void } = { before: () => undefined };

// eslint-disable-next-line @typescript-eslint/no-require-imports -- an import could not be changed
const bindings = require('../../native-bindings/index.js') as { native: Native };
const counting = { ...bindings.native } as unknown as Record<string, (...args: number[]) => number>;
for (const name of COUNTED) {
  const real = counting[name];
  counting[name] = (...args) => {
    counts.set(name, (counts.get(name) ?? 0) + 1);
    hook.before(name);
    return real(...args);
  };
}
bindings.native = counting as unknown as Native;

/** How often each function is called by `work`. */
export function counted(work: () => void): Record<string, number> {
  counts.clear();
  work();
  return Object.fromEntries(counts);
}
