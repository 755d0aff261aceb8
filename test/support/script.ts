/**
 * A short notation for tables of operations: the helper's own lines (syscalls.c), with leading words in place of the commonest keys.
 *
 *   rename a b flags=NOREPLACE     rename path=a to=b flags=NOREPLACE
 *   open f a flags=O_RDWR          open fd=f path=a flags=O_RDWR
 *   # a comment
 *
 * Words take no spaces: \x20. Write scripts with String.raw, so that \xff reaches the helper as it stands.
 */
import type { Verb } from './syscalls.js';

/** What the words of a line stand for, where it is not path, then to. */
const POSITIONS: { [V in Verb]?: readonly string[] } = {
  open: ['fd', 'path'],
  close: ['fd'],
  dup: ['fd', 'to'],
  symlink: ['target', 'path'],
  linkfd: ['fd', 'to'],
  chmod: ['path', 'mode'],
  mkdir: ['path', 'mode'],
  mknod: ['path', 'mode', 'dev'],
  access: ['path', 'mode'],
  truncate: ['path', 'size'],
  getflags: ['fd'],
  setflags: ['fd', 'value'],
  write: ['path', 'data'],
  lseek: ['fd', 'off', 'whence'],
  fallocate: ['fd', 'off', 'len'],
  copyrange: ['fd', 'tofd'],
  sendfile: ['fd', 'tofd'],
  fsync: ['fd'],
  fdatasync: ['fd'],
  syncfs: ['fd'],
  mmap: ['map', 'fd'],
  mread: ['map'],
  mwrite: ['map', 'data'],
  msync: ['map'],
  munmap: ['map'],
  flock: ['fd', 'kind'],
  lock: ['fd', 'kind'],
  getlock: ['fd', 'kind'],
  collect: ['proc'],
  getdents: ['fd'],
  seekdir: ['fd', 'keep'],
  getxattr: ['path', 'name'],
  setxattr: ['path', 'name', 'value'],
  removexattr: ['path', 'name'],
  handle: ['path', 'keep'],
  openhandle: ['fd', 'keep'],
  watch: ['fd', 'path'],
  events: ['fd'],
  sleep: ['ms'],
};

function line(source: string): string {
  const [verb = '', ...tokens] = source.split(/\s+/);
  const names = POSITIONS[verb as Verb] ?? ['path', 'to'];
  let position = 0;
  const args = tokens.map((token) => {
    if (/^[a-z]+=/.test(token)) return token;
    const name = names[position++] ?? (verb === 'exec' ? 'arg' : undefined);
    if (name === undefined) throw new Error(`too many words: ${source}`);
    return `${verb === 'exec' && position > 1 ? 'arg' : name}=${token}`;
  });
  return [verb, ...args].join(' ');
}

/** The helper's lines of a script; comments and empty lines are left out. */
export function script(text: string): string[] {
  return text
    .split('\n')
    .map((source) => source.replace(/(^|\s)#.*$/, '').trim())
    .filter((source) => source !== '')
    .map(line);
}
