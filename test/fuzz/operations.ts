/** Random operations, as lines of the system-call helper: a row per verb says how often it comes and how a line of it is made. */
import type { Tree } from '../support/layers.js';
import { escape } from '../support/syscalls.js';
import { REMOUNT } from './case';
import { Model } from './model';
import type { Random } from './random';
import { DEVICES, ELF_HEAD, GIDS, randomTarget, randomTime, randomXattr, UIDS } from './trees';

interface Row {
  weight: number;
  /** The lines; '' for none. The model learns what they would do. */
  make(m: Model): string | string[];
}

// ---- descriptors -----------------------------------------------------------------------------------------------------------------------

const OPEN_FLAGS = [
  ['O_TRUNC', 12],
  ['O_APPEND', 15],
  ['O_DIRECTORY', 4],
  ['O_NOFOLLOW', 20],
  ['O_PATH', 4],
  ['O_NOATIME', 2],
  ['O_SYNC', 2],
] as const;

const MOST_OPEN = 8;

function open(m: Model, create: boolean): string[] {
  const { random } = m;
  const path = create ? m.place() : m.target(random.chance(75) ? 'f' : 'd');
  const access = random.pick(['O_RDONLY', 'O_RDONLY', 'O_RDONLY', 'O_WRONLY', 'O_RDWR', 'O_RDWR']);
  const flags: string[] = [access, 'O_NONBLOCK']; // else a FIFO blocks
  if (create || random.chance(10)) flags.push('O_CREAT');
  if (random.chance(create ? 20 : 3)) flags.push('O_EXCL');
  for (const [flag, percent] of OPEN_FLAGS) if (random.chance(percent)) flags.push(flag);
  const name = m.fresh('f');
  const line = `open fd=${name}${m.on(path)} flags=${flags.join('|')} mode=${m.mode(false)}${m.maker()}`;
  if (flags.includes('O_CREAT')) m.made(path, 'f');
  m.open.push({ name, path, kind: m.kind(path) ?? 'f' });
  return m.open.length > MOST_OPEN ? [line, close(m)] : [line];
}

function tmpfile(m: Model): string {
  const name = m.fresh('f');
  const flags = `O_TMPFILE|${m.random.pick(['O_RDWR', 'O_WRONLY', 'O_RDWR|O_EXCL'])}`;
  const line = `open fd=${name}${m.on(m.directory())} flags=${flags} mode=${m.mode(false)}${m.maker()}`;
  m.open.push({ name, path: '', kind: 'f' });
  return line;
}

function close(m: Model): string {
  if (m.open.length === 0) return '';
  const [{ name }] = m.open.splice(m.random.below(m.open.length), 1);
  return `close fd=${name}`;
}

// ---- data ------------------------------------------------------------------------------------------------------------------------------

function read(m: Model): string {
  const range = m.random.chance(50) ? ` off=${m.offset()} len=${m.length()}` : '';
  const file = m.file('f');
  return `read${file}${range}${file.startsWith(' fd') ? '' : ' flags=O_NONBLOCK'}${m.as()}`;
}

function data(m: Model): string {
  const { random } = m;
  if (random.chance(75)) return ` data=${random.pick(['', 'x', 'written', 'w'.repeat(100), ...(m.elf ? [escape(ELF_HEAD)] : [])])}`;
  return ` pattern=${random.below(100)} len=${random.pick([1, 1000, 4096, 10_000, 70_000])}`;
}

function write(m: Model): string {
  const file = m.file('f');
  const flags = file.startsWith(' fd') ? '' : ` flags=O_NONBLOCK${m.random.pick(['', '', '|O_APPEND', '|O_TRUNC'])}`;
  return `write${file}${m.maybeOffset()}${data(m)}${flags}${m.as()}`;
}

/** Of a descriptor that is open, if there is one, else one is opened. */
function onDescriptor(m: Model, make: (fd: string) => string | string[]): string | string[] {
  const fd = m.opened('f')?.name;
  return fd === undefined ? open(m, false) : make(fd);
}

function segments(m: Model): string | string[] {
  const fd = m.opened('f')?.name;
  if (fd === undefined) return `segments path=${m.existing('f', 'd')} file=1`;
  return [`segments fd=${fd} file=1`, `lseek fd=${fd} off=0 file=1`];
}

function lseek(m: Model, fd: string): string[] {
  const whence = m.random.pick(['SET', 'CUR', 'END', 'DATA', 'HOLE']);
  const line = `lseek fd=${fd} off=${m.offset()} whence=${whence} file=1`;
  // Where a hole ends is not the same everywhere (deviations.ts); the position is to be.
  return /DATA|HOLE/.test(whence) ? [line, `lseek fd=${fd} off=0 file=1`] : [line];
}

function fallocate(m: Model, fd: string): string {
  const mode = m.random.pick(['', ' mode=KEEP_SIZE', ' mode=PUNCH_HOLE|KEEP_SIZE', ' mode=ZERO_RANGE']);
  return `fallocate fd=${fd}${mode} off=${m.offset()} len=${m.length()}`;
}

function copyrange(m: Model, fd: string): string {
  const offsets = m.random.pick(['', ` off=${m.offset()}`, ` off=${m.offset()} tooff=${m.offset()}`]);
  return `copyrange fd=${fd} tofd=${m.opened('f')?.name ?? fd} len=${m.length()}${offsets}`;
}

function sendfile(m: Model, fd: string): string {
  return `sendfile fd=${fd} tofd=${m.opened('f')?.name ?? fd} len=${m.length()}${m.maybeOffset()}`;
}

const MOST_MAPPED = 4;

function map(m: Model): string {
  const { random, maps } = m;
  const fd = m.opened('f')?.name;
  if (maps.length === 0 || random.chance(30)) {
    if (fd === undefined || maps.length >= MOST_MAPPED) return '';
    const name = m.fresh('m');
    const how = random.pick(['prot=READ', 'prot=READ|WRITE', 'prot=READ|WRITE', 'prot=READ private=1']);
    maps.push({ name, writable: how.includes('WRITE') });
    return `mmap map=${name} fd=${fd} len=8192 ${how}`;
  }
  const one = random.pick(maps);
  const off = random.pick([0, 5, 4096]);
  switch (random.weighted({ mread: 50, mwrite: one.writable ? 35 : 0, msync: 5, munmap: 10 })) {
    case 'mread':
      return `mread map=${one.name} off=${off} len=${random.pick([1, 20, 100])}`;
    case 'mwrite':
      return `mwrite map=${one.name} off=${off} data=mapped`;
    case 'msync':
      return `msync map=${one.name}`;
    case 'munmap':
      maps.splice(maps.indexOf(one), 1);
      return `munmap map=${one.name}`;
  }
}

// ---- names -----------------------------------------------------------------------------------------------------------------------------

const TYPE_BITS = { p: 0o010000, s: 0o140000, c: 0o020000, b: 0o060000, f: 0o100000 };

function mknod(m: Model): string {
  const { random } = m;
  const path = m.place();
  const kind = random.pick(['p', 's', 'c', 'b', 'f'] as const);
  const mode = (TYPE_BITS[kind] | parseInt(m.mode(false), 8)).toString(8);
  const device = kind === 'c' || kind === 'b' ? ` dev=${random.pick(DEVICES)}` : '';
  const line = `mknod${m.on(path)} mode=0${mode}${device}${m.maker()}`;
  m.made(path, kind);
  return line;
}

function mkdir(m: Model): string {
  const path = m.place();
  const line = `mkdir${m.on(path)} mode=${m.mode(true)}${m.maker()}`;
  m.made(path, 'd');
  return line;
}

function symlink(m: Model): string {
  const path = m.place();
  const line = `symlink target=${randomTarget(m.random, m.names)}${m.on(path)}${m.as()}`;
  m.made(path, 'l');
  return line;
}

function link(m: Model): string {
  const from = m.target(m.random.chance(90) ? 'f' : 'l');
  const to = m.place();
  const line = `link${m.on(from)}${m.on(to, 'to')}${m.as()}`;
  m.made(to, m.kind(from) ?? 'f');
  return line;
}

function linkfd(m: Model): string {
  const fd = m.open.findLast((one) => one.path === '') ?? m.opened('f');
  if (fd === undefined) return tmpfile(m);
  const to = m.place();
  const line = `linkfd fd=${fd.name}${m.on(to, 'to')}`;
  m.made(to, 'f');
  return line;
}

function remove(m: Model, verb: 'unlink' | 'rmdir'): string {
  const path = verb === 'rmdir' ? m.target('d') : m.target('f', 'l', 'p', 'c', 'b', 's');
  const line = `${verb}${m.on(path)}${m.as()}`;
  if ((m.kind(path) === 'd') === (verb === 'rmdir')) m.removed(path);
  return line;
}

function rename(m: Model): string {
  const { random } = m;
  const from = m.target(random.pick(['f', 'd', 'd', 'l'] as const));
  const to = random.chance(55) ? m.place() : m.target(m.kind(from) === 'd' ? 'd' : 'f');
  const flags = random.pick(['', '', '', '', ' flags=NOREPLACE', ' flags=EXCHANGE', ' flags=WHITEOUT']);
  const line = `rename${m.on(from)}${m.on(to, 'to')}${flags}${m.as()}`;
  if (flags === '' || (flags === ' flags=NOREPLACE' && m.kind(to) === undefined)) m.moved(from, to);
  return line;
}

// ---- attributes ------------------------------------------------------------------------------------------------------------------------

function chmod(m: Model): string {
  return `chmod${m.file()} mode=${m.mode(m.random.chance(40))}${m.as()}`;
}

function chown(m: Model): string {
  const file = m.file();
  // Both left out would be asked of ext4 (ctime moves), and of nobody through FUSE.
  const words = m.random.pick([['owner'], ['group'], ['owner', 'group']]);
  const ids = words.map((word) => ` ${word}=${m.random.pick(word === 'owner' ? UIDS : GIDS)}`);
  return `chown${file}${m.follow(file)}${ids.join('')}${m.as()}`;
}

function utimens(m: Model): string {
  const file = m.file();
  const time = (): string => (m.random.chance(60) ? randomTime(m.random) : m.random.pick(['now', 'omit']));
  return `utimens${file}${m.follow(file)} atime=${time()} mtime=${time()}${m.as()}`;
}

function xattr(m: Model, verb: 'setxattr' | 'getxattr' | 'removexattr'): string {
  const { random } = m;
  const file = m.file();
  const path = /path=(\S*)/.exec(file)?.[1];
  const kind = (path !== undefined ? m.kind(path) : undefined) ?? random.pick(['f', 'd', 'l'] as const);
  const [name, value] = random.chance(4) ? (['trusted.overlay.x', 'o'] as const) : randomXattr(random, kind);
  const what = `${verb}${file}${m.follow(file)} name=${name}`;
  if (verb !== 'setxattr') return `${what}${m.as()}`;
  return `${what} value=${escape(value)}${random.pick(['', '', '', ' flags=CREATE', ' flags=REPLACE'])}${m.as()}`;
}

function listxattr(m: Model): string {
  const file = m.file();
  return `listxattr${file}${m.follow(file)}${m.as()}`;
}

// ---- looking ---------------------------------------------------------------------------------------------------------------------------

function stat(m: Model): string {
  const file = m.file();
  return `stat${file}${m.follow(file)}${m.as()}`;
}

function access(m: Model): string {
  const mode = m.random.pick(['F', 'R', 'W', 'X', 'R|W', 'R|X']);
  return `access${m.on(m.target())} mode=${mode} uid=${m.random.pick(UIDS)} gid=${m.random.pick(GIDS)}`;
}

/** A directory that is open is read again. */
function rewind(m: Model): string {
  const fd = m.opened('d')?.name;
  return fd === undefined ? `list path=${m.directory()} ino=1` : `list fd=${fd} own=1 ino=1`;
}

// ---- all of them -----------------------------------------------------------------------------------------------------------------------

const VERBS = {
  open: { weight: 60, make: (m) => open(m, false) },
  create: { weight: 45, make: (m) => open(m, true) },
  tmpfile: { weight: 6, make: tmpfile },
  close: { weight: 20, make: close },
  read: { weight: 60, make: read },
  write: { weight: 60, make: write },
  truncate: { weight: 25, make: (m) => `truncate${m.file('f')} size=${m.offset()}${m.as()}` },
  fallocate: { weight: 15, make: (m) => onDescriptor(m, (fd) => fallocate(m, fd)) },
  lseek: { weight: 12, make: (m) => onDescriptor(m, (fd) => lseek(m, fd)) },
  segments: { weight: 15, make: segments },
  copyrange: { weight: 12, make: (m) => onDescriptor(m, (fd) => copyrange(m, fd)) },
  sendfile: { weight: 4, make: (m) => onDescriptor(m, (fd) => sendfile(m, fd)) },
  fsync: { weight: 3, make: (m) => onDescriptor(m, (fd) => `${m.random.pick(['fsync', 'fdatasync'])} fd=${fd}`) },
  map: { weight: 25, make: map },
  mkdir: { weight: 40, make: mkdir },
  mknod: { weight: 12, make: mknod },
  symlink: { weight: 15, make: symlink },
  link: { weight: 35, make: link },
  linkfd: { weight: 8, make: linkfd },
  unlink: { weight: 60, make: (m) => remove(m, 'unlink') },
  rmdir: { weight: 35, make: (m) => remove(m, 'rmdir') },
  rename: { weight: 80, make: rename },
  chmod: { weight: 25, make: chmod },
  chown: { weight: 25, make: chown },
  utimens: { weight: 20, make: utimens },
  setxattr: { weight: 25, make: (m) => xattr(m, 'setxattr') },
  getxattr: { weight: 15, make: (m) => xattr(m, 'getxattr') },
  removexattr: { weight: 12, make: (m) => xattr(m, 'removexattr') },
  listxattr: { weight: 12, make: listxattr },
  stat: { weight: 25, make: stat },
  list: { weight: 35, make: (m) => `list${m.file('d')} ino=1` },
  readlink: { weight: 6, make: (m) => `readlink${m.on(m.target('l'))}` },
  access: { weight: 12, make: access },
  seekcheck: { weight: 5, make: (m) => `seekcheck path=${m.directory()} size=${m.random.pick([300, 1024, 65536])}` },
  rewind: { weight: 8, make: rewind },
} satisfies Record<string, Row>;

const WEIGHTS = Object.fromEntries(Object.entries(VERBS).map(([verb, { weight }]) => [verb, weight])) as Record<keyof typeof VERBS, number>;

function assertInside(line: string): void {
  if (/ (path|to|target)=\//.test(line)) throw new Error(`an absolute path would leave the case: ${line}`);
}

/** `count` operations on the merged tree; looking at what they did comes on top. */
export function randomOperations(random: Random, names: readonly string[], merged: Tree, elf: boolean, count: number): string[] {
  const model = new Model(random, names, merged, elf);
  const lines: string[] = [];
  const remountAt = random.chance(25) ? random.between(count >> 2, count) : -1;
  for (let i = 0; i < count; i++) {
    if (i === remountAt) {
      model.closeAll();
      lines.push(REMOUNT);
    }
    const looks = (random.chance(40) ? model.watched() : []).map((path) => `stat path=${path}`);
    const row: Row = VERBS[random.weighted(WEIGHTS)];
    const made = [row.make(model)].flat();
    lines.push(...looks, ...made.filter((line) => line !== ''), ...looks);
  }
  lines.forEach(assertInside);
  return lines;
}
