/** The API's objects in the words that several verbs show. */
import type { Container, LayerVerification, Mount } from '../daemon/api/types';
import { ago, type Cell, count, duration, size } from './format';

export function status(container: Container, now = Date.now()): Cell {
  switch (container.state) {
    case 'running':
      return { text: `Up ${duration(container.startedAt === null ? 0 : now - Date.parse(container.startedAt))}`, colour: 'green' };
    case 'failed':
      return { text: `Failed: ${container.error ?? 'unknown'}`, colour: 'red' };
    case 'stopped':
      return { text: 'Stopped', colour: 'dim' };
    case 'created':
      return { text: 'Created', colour: 'yellow' };
  }
}

export function mountState(mount: Mount): Cell {
  return { text: mount.state, colour: mount.state === 'mounted' ? 'green' : 'red' };
}

/** "1.2MB (45 files, 2 whiteouts)" */
export function written({ bytes, files, whiteouts }: NonNullable<Container['size']>): string {
  return `${size(bytes)} (${count(files, 'file')}, ${count(whiteouts, 'whiteout')})`;
}

/** "2026-11-20T19:00:00Z (3 minutes ago)" */
export function moment(time: string | null): string | null {
  return time === null ? null : `${time} (${ago(time)})`;
}

/** What is otherwise, in the letters of `ply diff`. */
export function deviations({ added, changed, removed }: LayerVerification): { kind: 'A' | 'C' | 'D'; path: string }[] {
  const of = (kind: 'A' | 'C' | 'D', paths: string[]): { kind: 'A' | 'C' | 'D'; path: string }[] => paths.map((path) => ({ kind, path }));
  return [...of('C', changed), ...of('A', added), ...of('D', removed)].sort((a, b) => (a.path < b.path ? -1 : 1));
}
