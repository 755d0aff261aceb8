/** What is wrong with a layer, for the log: an operation can only answer with an errno. */

/** A layer that is broken is asked again and again: each thing is told once in a while. */
const AGAIN_MS = 60_000;
const MOST = 256;

const told = new Map<string, number>();
let listener: (what: string) => void = () => undefined;

/** Who logs for this thread. */
export function onTrouble(tell: (what: string) => void): void {
  listener = tell;
}

export function tellTrouble(what: string): void {
  const now = Date.now();
  if (now - (told.get(what) ?? -AGAIN_MS) < AGAIN_MS) return;
  if (told.size >= MOST) told.clear();
  told.set(what, now);
  listener(what);
}
