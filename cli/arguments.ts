/** The command line of plyfs: what was asked for, and what it says of itself. */

/** The command line makes no sense: exit status 2. */
export class UsageError extends Error {}

export interface Arguments {
  action: 'mount' | 'help' | 'version';
  /** byte strings (one character per byte), as the rest */
  options: string;
  source?: string;
  target: string;
  /** say what is wrong with the options, and mount nothing */
  fake: boolean;
  foreground: boolean;
  debug: boolean;
  log?: string;
}

export const HELP = `Usage: plyfs -o OPTIONS MOUNTPOINT
       plyfs SOURCE MOUNTPOINT -o OPTIONS
       plyfs --version | --help

Shows a stack of directories as one tree, and writes changes to an upper directory (copy-on-write). Ends when the mount is usable; a process
of its own serves it until it is unmounted.

  -o OPTIONS        mount options, separated by commas; may come several times
  -f, --foreground  serve until the mount is unmounted; SIGINT and SIGTERM unmount it. The log goes to standard error.
  -d, --debug       as -f, with log_level=debug
  --fake            look at the options, and mount nothing: what -f of mount(8) means
  --log FILE        append the log to FILE
  -V, --version     print the version
  -h, --help        print this

Options (others, and empty ones, are ignored):
  lowerdir=A:B:C    the layers, topmost first; \\: and \\, and \\\\ for a colon, a comma and a backslash in a name
  upperdir=DIR      where changes go; without it the mount is read-only
  workdir=DIR       an empty directory on the file system of upperdir, needed with it
  ro, rw, nodev, nosuid, noexec, noatime, ...   as for mount(8); root's mounts allow devices and setuid unless told otherwise
  remount           change these of a mount that is there, as in -o remount,ro; all else of it stays
  volatile          sync nothing: fast, and what a crash of the machine leaves is not to be used
  redirect_dir=on|off   directories of lower layers can be renamed (on)
  metacopy=on|off   chmod, chown and the like copy no data (on)
  index=on|off      hard links of lower layers stay joined when they are changed (on)
  userxattr         keep marks in user.overlay.* instead of trusted.overlay.*
  noacl, noxattrs   no POSIX ACLs; no extended attributes at all
  passthrough=auto|always|never   let the kernel read and write files itself (auto: where that is safe)
  max_stack_depth=1|2   2: layers on an overlay mount can be passed through; 1: this mount can be a layer of an overlay mount (1)
  sharelowers                     the lowers never change: mounts of the same lowers in one engine know them once
  uidmapping=A:B:N[:A:B:N...], gidmapping=...   show ids A to A+N-1 of the layers as B and up, and keep B and up as A
  squash_to_root, squash_to_uid=N, squash_to_gid=N   show everything as owned by root, or N
  xattr_permissions=1|2           keep owners and modes in xattrs: security.fuseoverlayfs.override_stat (1), or a user's (2)
  static_nlink                    show one link for every directory
  timeout=SECONDS                 ask again for names and attributes after that long (never)
  fsync=0                         as volatile
  fsname=NAME       the mount's source in /proc/mounts (plyfs)
  workers=N         threads that serve (one per CPU, at most 8)
  transport=auto|dev|uring   how requests come from the kernel: over io_uring, or /dev/fuse (auto: io_uring where it is switched on)
  log_level=trace|debug|info|warn|error|fatal|silent

Examples:
  plyfs -o lowerdir=/layers/app:/layers/base,upperdir=/c/1/upper,workdir=/c/1/work /c/1/merged
  plyfs -o lowerdir=/layers/app:/layers/base /mnt          read-only
  plyfs -f -o lowerdir=/layers/base,log_level=debug /mnt   in the foreground
  mount -t fuse.plyfs -o lowerdir=/layers/base none /mnt   plyfs in PATH
  umount /mnt                                              ends it

Exit status: 0 mounted (with -f: unmounted again), 1 failed, 2 wrong command line.
`;

interface Cursor {
  readonly list: readonly string[];
  at: number;
}

function value(cursor: Cursor, flag: string): string {
  const next = cursor.list[cursor.at++];
  if (next === undefined) throw new UsageError(`${flag} needs a value`);
  return next;
}

/** `list` is the command line without program and script, as byte strings. */
export function parseArguments(list: readonly string[]): Arguments {
  const result: Arguments = { action: 'mount', options: '', target: '', fake: false, foreground: false, debug: false };
  const options: string[] = [];
  const positionals: string[] = [];
  const cursor: Cursor = { list, at: 0 };
  while (cursor.at < list.length) {
    const word = list[cursor.at++];
    if (word === '--') {
      positionals.push(...list.slice(cursor.at));
      break;
    }
    if (!word.startsWith('-') || word === '-') positionals.push(word);
    else if (word === '-o' || word === '--options') options.push(value(cursor, word));
    else if (word.startsWith('-o')) options.push(word.slice(2));
    else if (word === '--log') result.log = value(cursor, word);
    else if (word.startsWith('--log=')) result.log = word.slice(6);
    else if (word === '-t')
      value(cursor, word); // mount(8) says the type to its helpers
    else flag(result, word);
  }
  result.options = options.join(',');
  return result.action === 'mount' ? positioned(result, positionals) : result;
}

function flag(result: Arguments, word: string): void {
  switch (word) {
    case '-f':
    case '--foreground':
      result.foreground = true;
      return;
    case '--fake': // what the launcher makes of mount(8)'s -f
      result.fake = true;
      return;
    case '-d':
    case '--debug':
      result.foreground = result.debug = true;
      return;
    case '-h':
    case '--help':
      result.action = 'help';
      return;
    case '-V':
    case '--version':
      result.action = 'version';
      return;
    case '-n': // mount(8) passes these to its helpers: no mtab, sloppy, verbose
    case '-s':
    case '-v':
      return;
    default:
      throw new UsageError(`unknown option ${word}`);
  }
}

function positioned(result: Arguments, positionals: readonly string[]): Arguments {
  if (positionals.length === 0) throw new UsageError('no mountpoint given');
  if (positionals.length > 2) throw new UsageError(`too many arguments: ${positionals.slice(2).join(' ')}`);
  if (positionals.length === 2) result.source = positionals[0];
  result.target = positionals[positionals.length - 1];
  return result;
}
