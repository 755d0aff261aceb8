/**
 * The `-o` of a mount, as mount(8), podman and the kernel's overlay write it. parseOptions() looks at the text alone; directories.ts opens what it
 * names.
 *
 * Options are separated by commas. A comma inside a value in double quotes, or after a backslash, separates nothing. In lowerdir, upperdir and workdir a
 * backslash takes the next character as it is (`\:`, `\\`, `\,`), and an unescaped colon separates lowers, the topmost first. When an option comes
 * twice, the last one counts. An empty option and one that is not ours are ignored: callers hand on what mount(8) let through.
 *
 * Paths are bytes. Here they are "byte strings": one character (0 to 255) per byte, as Buffer's latin1 has it.
 */

/** Something that the user asked for and cannot have: the message says what, of what, and what to do. */
export class OptionError extends Error {}

export type Passthrough = 'auto' | 'always' | 'never';
export const TRANSPORTS = ['auto', 'dev', 'uring'] as const;
/** How requests come from the kernel: through clones of /dev/fuse, over io_uring, or (auto) the latter where it can be had. */
export type Transport = (typeof TRANSPORTS)[number];
export const DRIVERS = ['plyfs', 'fuse-native'] as const;
/** Who takes the requests from the kernel (drivers.ts). */
export type Driver = (typeof DRIVERS)[number];
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** MS_* of <sys/mount.h>: those that an option can ask for. */
export const enum MountFlag {
  RDONLY = 1,
  NOSUID = 2,
  NODEV = 4,
  NOEXEC = 8,
  SYNCHRONOUS = 16,
  DIRSYNC = 128,
  NOSYMFOLLOW = 256,
  NOATIME = 1024,
  NODIRATIME = 2048,
  RELATIME = 1 << 21,
  STRICTATIME = 1 << 24,
  LAZYTIME = 1 << 25,
}

/** Those of a mount's lowers that are no directories, but imported layers of a store: plyd's alone to say. */
export interface ImportedLowers {
  /** byte string: the store's `objects/` */
  objects: string;
  /** for each lower: the layer's id, its path being `layers/<id>` then; '': it is a directory */
  ids: string[];
}

/** `count` ids from `kept` on, as they are on disk, are shown as those from `shown` on. */
export interface IdRange {
  kept: number;
  shown: number;
  count: number;
}

export interface MountOptions {
  /** byte strings, topmost first, at least one */
  lower: string[];
  imported?: ImportedLowers;
  /** byte strings; both or neither */
  upper?: string;
  work?: string;
  /** MountFlag bits */
  flags: number;
  /** nothing is ever synced */
  volatile: boolean;
  redirect: boolean;
  metacopy: boolean;
  index: boolean;
  /** our marks are user.overlay.*; undefined: when trusted.overlay.* cannot be had */
  userxattr?: boolean;
  passthrough: Passthrough;
  /** see FUSE_PASSTHROUGH in fuse-kernel-facts.md */
  maxStackDepth: 1 | 2;
  acl: boolean;
  xattrs: boolean;
  /** the lowers never change: what is known of them is kept once for all mounts of an engine */
  share: boolean;
  /** everything is shown as owned by these */
  squashUid?: number;
  squashGid?: number;
  /** ids on disk that are shown as others; empty: as they are */
  uidMap: IdRange[];
  gidMap: IdRange[];
  /** owners and modes in the upper are kept in an xattr: security.fuseoverlayfs.override_stat (1), or a user.* one (2) */
  xattrPermissions: 0 | 1 | 2;
  /** directories show one link */
  staticNlink: boolean;
  /** seconds that the kernel may believe names and attributes; undefined: for ever */
  timeout?: number;
  /** what the mount is said to be of; byte string */
  fsname?: string;
  workers?: number;
  /** undefined: as the engine was told */
  transport?: Transport;
  logLevel?: LogLevel;
  /** undefined: plyfs's own */
  driver?: Driver;
  /** names of the options that are not ours */
  ignored: string[];
}

/** A byte string as people read it. */
export function shown(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

const MAX_WORKERS = 29;

/** What further options mean depends on others. */
interface Parsed extends MountOptions {
  /** false: as `volatile` */
  fsync: boolean;
  /** for what squash_to_uid and squash_to_gid do not say */
  squashToRoot: boolean;
}

type Setter = (options: Parsed, value: string | undefined, name: string) => void;

const words =
  <T extends string>(list: Readonly<Record<T, unknown>> | readonly T[], set: (options: Parsed, word: T) => void): Setter =>
  (options, value, name) => {
    const allowed = (Array.isArray(list) ? list : Object.keys(list)) as T[];
    const word = allowed.find((one) => one === value);
    if (word === undefined) throw wrong(name, value, `one of ${allowed.join(', ')}`);
    set(options, word);
  };

const onOff = (key: 'redirect' | 'metacopy' | 'index'): Setter =>
  words(['on', 'off'], (options, word) => {
    options[key] = word === 'on';
  });

const number =
  (least: number, most: number, set: (options: Parsed, value: number) => void): Setter =>
  (options, value, name) => {
    const parsed = value !== undefined && /^[0-9]{1,10}$/.test(value) ? Number(value) : NaN;
    if (!(parsed >= least && parsed <= most)) throw wrong(name, value, `a number from ${least} to ${most}`);
    set(options, parsed);
  };

const path =
  (set: (options: Parsed, value: string, name: string) => void): Setter =>
  (options, value, name) => {
    if (value === undefined || value === '') throw wrong(name, value, 'the path of a directory');
    set(options, value, name);
  };

type FlagSetter = (options: { flags: number }) => void;

const flag =
  (bits: number, on = true): FlagSetter =>
  (options) => {
    options.flags = on ? options.flags | bits : options.flags & ~bits;
  };

const always = (set: (options: Parsed) => void): Setter => set;

const ID_MOST = 0xfffffffe;

/** The kernel's, less one: i32 are words of the table. */
const SECONDS_MOST = 0x7fffffff;

/** fuse-overlayfs's: KEPT:SHOWN:COUNT and so on, between colons (in quotes: or commas); podman writes one in front too. */
const mapping =
  (key: 'uidMap' | 'gidMap'): Setter =>
  (options, value = '', name) => {
    const numbers = value.split(/[:,]/).filter((one) => one !== '');
    const ids = numbers.map((one) => (/^[0-9]{1,10}$/.test(one) ? Number(one) : NaN));
    const ranges: IdRange[] = [];
    for (let at = 0; at < ids.length; at += 3) ranges.push({ kept: ids[at], shown: ids[at + 1], count: ids[at + 2] });
    const isRange = ({ kept, shown, count }: IdRange): boolean => kept + count <= ID_MOST + 1 && shown + count <= ID_MOST + 1;
    if (ids.length % 3 !== 0 || !ranges.every(isRange))
      throw wrong(name, value, 'ID ON DISK:ID SHOWN:HOW MANY, any number of times, between colons, as in 0:1000:1:1:100000:65536');
    options[key] = ranges.filter(({ count }) => count > 0);
  };

/** fuse-overlayfs has numbers where there could be a word: 0 is no. */
const zeroOrOne = (set: (options: Parsed, on: boolean) => void): Setter => number(0, 1, (options, value) => set(options, value === 1));

/** What is mount(2)'s alone. */
const FLAGS: Readonly<Record<string, FlagSetter>> = {
  ro: flag(MountFlag.RDONLY),
  rw: flag(MountFlag.RDONLY, false),
  nosuid: flag(MountFlag.NOSUID),
  suid: flag(MountFlag.NOSUID, false),
  nodev: flag(MountFlag.NODEV),
  dev: flag(MountFlag.NODEV, false),
  noexec: flag(MountFlag.NOEXEC),
  exec: flag(MountFlag.NOEXEC, false),
  noatime: flag(MountFlag.NOATIME),
  atime: flag(MountFlag.NOATIME, false),
  nodiratime: flag(MountFlag.NODIRATIME),
  diratime: flag(MountFlag.NODIRATIME, false),
  relatime: flag(MountFlag.RELATIME),
  norelatime: flag(MountFlag.RELATIME, false),
  strictatime: flag(MountFlag.STRICTATIME),
  nostrictatime: flag(MountFlag.STRICTATIME, false),
  lazytime: flag(MountFlag.LAZYTIME),
  nolazytime: flag(MountFlag.LAZYTIME, false),
  nosymfollow: flag(MountFlag.NOSYMFOLLOW),
  symfollow: flag(MountFlag.NOSYMFOLLOW, false),
  sync: flag(MountFlag.SYNCHRONOUS),
  async: flag(MountFlag.SYNCHRONOUS, false),
  dirsync: flag(MountFlag.DIRSYNC),
};

const SETTERS: Readonly<Record<string, Setter>> = {
  lowerdir: path((options, value, name) => {
    options.lower = splitLowers(value, name);
  }),
  upperdir: path((options, value) => (options.upper = unescape(value))),
  workdir: path((options, value) => (options.work = unescape(value))),

  volatile: always((options) => (options.volatile = true)),
  redirect_dir: words(['on', 'off', 'follow'], (options, word) => (options.redirect = word === 'on')),
  metacopy: onOff('metacopy'),
  index: onOff('index'),
  userxattr: always((options) => (options.userxattr = true)),
  passthrough: words(['auto', 'always', 'never'], (options, word) => (options.passthrough = word)),
  max_stack_depth: number(1, 2, (options, value) => (options.maxStackDepth = value as 1 | 2)),
  noacl: always((options) => (options.acl = false)),
  acl: always((options) => (options.acl = true)),
  sharelowers: always((options) => (options.share = true)),
  // fuse-overlayfs has a number there
  noxattrs: (options, value, name) => {
    if (value === undefined) options.xattrs = false;
    else zeroOrOne((own, on) => (own.xattrs = !on))(options, value, name);
  },
  uidmapping: mapping('uidMap'),
  gidmapping: mapping('gidMap'),
  squash_to_root: always((options) => (options.squashToRoot = true)),
  squash_to_uid: number(0, ID_MOST, (options, value) => (options.squashUid = value)),
  squash_to_gid: number(0, ID_MOST, (options, value) => (options.squashGid = value)),
  xattr_permissions: number(0, 2, (options, value) => (options.xattrPermissions = value as 0 | 1 | 2)),
  static_nlink: always((options) => (options.staticNlink = true)),
  fsync: zeroOrOne((options, on) => (options.fsync = on)),
  timeout: (options, value = '', name) => {
    if (!/^[0-9]+(\.[0-9]*)?(e[0-9]{1,2})?$/i.test(value)) throw wrong(name, value, 'a number of seconds');
    options.timeout = Math.min(Math.floor(Number(value)), SECONDS_MOST);
  },
  plugins: (_options, value = '') => {
    if (value !== '')
      throw new OptionError(`option plugins ("${shown(value)}"): plyfs loads no plugins of fuse-overlayfs; leave the option out`);
  },
  fsname: (options, value) => {
    if (value !== undefined && value !== '') options.fsname = unescape(value);
  },
  workers: number(1, MAX_WORKERS, (options, value) => (options.workers = value)),
  transport: words(TRANSPORTS, (options, word) => (options.transport = word)),
  driver: words(DRIVERS, (options, word) => (options.driver = word)),
  log_level: words(LOG_LEVELS, (options, word) => (options.logLevel = word)),

  ...FLAGS,

  // fuse-overlayfs's own, without an effect here: there is a worker for every CPU, every write reaches the upper before it is answered, inode numbers cost
  // nothing, and labels are the kernel's to give (fuse-overlayfs does nothing with context either).
  threaded: number(0, 0x7fffffff, () => undefined),
  writeback: zeroOrOne(() => undefined),
  fast_ino: number(0, 0x7fffffff, () => undefined),
  context: always(() => undefined),

  remount: () => {
    throw new OptionError(
      'a mount cannot be given other layers or options: unmount it and mount it again (mount(8) changes its flags: `mount -o remount,ro TARGET`)',
    );
  },

  // What every plyfs mount has.
  allow_other: always(() => undefined),
  default_permissions: always(() => undefined),
  defaults: always(() => undefined),
};

/** All that an -o may name: the manual and the shells' completions have each. */
export const OPTION_NAMES: readonly string[] = Object.keys(SETTERS);

/** `text` is a byte string. Throws OptionError. */
export function parseOptions(text: string): MountOptions {
  const options: Parsed = {
    lower: [],
    flags: 0,
    volatile: false,
    redirect: true,
    metacopy: true,
    index: true,
    passthrough: 'auto',
    maxStackDepth: 1,
    acl: true,
    xattrs: true,
    share: false,
    uidMap: [],
    gidMap: [],
    xattrPermissions: 0,
    staticNlink: false,
    fsync: true,
    squashToRoot: false,
    ignored: [],
  };
  for (const option of splitOptions(text)) {
    const equals = option.indexOf('=');
    const name = equals < 0 ? option : option.slice(0, equals);
    const setter = Object.hasOwn(SETTERS, name) ? SETTERS[name] : undefined;
    if (setter === undefined) options.ignored.push(shown(name));
    else setter(options, equals < 0 ? undefined : unquote(option.slice(equals + 1)), name);
  }
  checkTogether(options);
  const { fsync, squashToRoot, ...settled } = options;
  if (!fsync) settled.volatile = true;
  if (squashToRoot) {
    settled.squashUid ??= 0;
    settled.squashGid ??= 0;
  }
  return settled;
}

/** Is it about a mount that is there already (mount(8))? `text` is a byte string. */
export function isRemount(text: string): boolean {
  return splitOptions(text).includes('remount');
}

/** MS_* flags of mount(2), as the text changes them. The rest of it is ignored, as the kernel's overlayfs does in a remount. */
export function changeFlags(flags: number, text: string): number {
  const changed = { flags };
  for (const option of splitOptions(text)) if (Object.hasOwn(FLAGS, option)) FLAGS[option](changed);
  return changed.flags;
}

/** What else the text says than the directories; a byte string. */
export function furtherOptions(text: string): string {
  return splitOptions(text)
    .filter((option) => !/^(lower|upper|work)dir(=|$)/.test(option))
    .join(',');
}

function checkTogether(options: MountOptions): void {
  if (options.lower.length === 0) {
    throw new OptionError('lowerdir is missing: name at least one layer, as in -o lowerdir=/layers/top:/layers/base');
  }
  if (options.upper !== undefined && options.work === undefined) {
    throw new OptionError('upperdir without workdir: add workdir=DIR, an empty directory on the same file system as upperdir');
  }
  if (options.work !== undefined && options.upper === undefined) {
    throw new OptionError('workdir without upperdir: add upperdir=DIR for a writable mount, or leave workdir out for a read-only one');
  }
  if (options.upper === undefined) options.flags |= MountFlag.RDONLY;
}

function wrong(name: string, value: string | undefined, allowed: string): OptionError {
  const given = value === undefined || value === '' ? 'has no value' : `cannot be "${shown(value)}"`;
  return new OptionError(`option ${name} ${given}: it takes ${allowed}`);
}

/** At commas that are neither escaped nor in quotes. Empty ones are left out. */
function splitOptions(text: string): string[] {
  const found: string[] = [];
  let from = 0;
  let quoted = false;
  for (let at = 0; at <= text.length; at++) {
    const char = text[at];
    if (char === '\\') at++;
    else if (char === '"' && (quoted || text[at - 1] === '=')) quoted = !quoted;
    else if (at === text.length || (char === ',' && !quoted)) {
      if (at > from) found.push(text.slice(from, at));
      from = at + 1;
    }
  }
  if (from < text.length) found.push(text.slice(from)); // quotes that do not close, or a backslash at the end
  return found;
}

function unquote(value: string): string {
  return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
}

/** ovl_unescape of fs/overlayfs/params.c: a backslash takes the next character as it is. */
function unescape(value: string): string {
  return value.replace(/\\(.)/gs, '$1');
}

function splitLowers(value: string, name: string): string[] {
  const found: string[] = [];
  let from = 0;
  for (let at = 0; at <= value.length; at++) {
    if (value[at] === '\\') at++;
    else if (at === value.length || value[at] === ':') {
      found.push(unescape(value.slice(from, at)));
      from = at + 1;
    }
  }
  if (from < value.length) found.push(unescape(value.slice(from)));
  if (found.includes('')) throw new OptionError(`${name} has an empty entry in "${shown(value)}": write a colon only between two layers`);
  return found;
}
