/** What ends a command other than well, and what is said of it. */
import type { ApiError } from '../daemon/api/types';

/** Codes of ours, where the API was not reached or does not count. */
type LocalCode = 'usage' | 'no-daemon' | 'no-permission' | 'no-answer' | 'bad-answer' | 'changed' | 'damaged' | 'failed';

export type Failure = Omit<ApiError, 'code'> & { code: ApiError['code'] | LocalCode };

/** It did not work: exit status 1. */
export class PlyError extends Error {
  constructor(readonly failure: Failure) {
    super(failure.message);
  }
}

/** The command line makes no sense: exit status 2. */
export class UsageError extends PlyError {
  constructor(message: string, near: readonly string[] = []) {
    super({ code: 'usage', message, ...(near.length > 0 && { near: [...near] }) });
  }
}

/** Everything that a person is told: the message, then what the daemon knows besides, unless the message has it already. */
export function explained(failure: Failure): string {
  const lines = [failure.message];
  const { near = [], by = [], processes = [] } = failure;
  const unsaid = (words: readonly string[]): string[] => words.filter((word) => !mentions(failure.message, word));
  if (unsaid(near).length > 0) lines.push(`Did you mean ${orList(near)}?`);
  if (unsaid(by).length > 0) lines.push(`Used by ${by.join(', ')}`);
  for (const { pid, command } of processes) {
    if (!mentions(failure.message, String(pid))) lines.push(`In use by process ${pid} (${command})`);
  }
  if (failure.code === 'busy' && !failure.message.includes('--lazy')) lines.push('--lazy detaches it all the same');
  return lines.join('\n');
}

function mentions(message: string, word: string): boolean {
  const escaped = word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(?<![\\w-])${escaped}(?![\\w-])`).test(message);
}

function orList(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

/** The words of the list that `word` may have been meant to be, nearest first. */
export function nearest(word: string, list: readonly string[]): string[] {
  const limit = Math.max(1, Math.floor(word.length / 3));
  return list
    .map((candidate) => ({ candidate, distance: candidate.startsWith(word) ? 0 : distance(word, candidate) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}

/** Levenshtein's, where two neighbours exchanged count one. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      row[j] = Math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j], before[j - 2] + 1);
    }
    before = last;
    last = row;
  }
  return last[b.length];
}
