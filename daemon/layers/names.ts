import { OVERRIDE_NAMES, OVERRIDE_PREFIXES } from './override-names';

/**
 * The names under which overlay marks are kept, as NUL-terminated bytes in the arena, one set per worker and mount flavour:
 * `trusted.overlay.*` (Documentation/filesystems/overlayfs.rst), or `user.overlay.*` where trusted xattrs are out of reach. What is
 * plyfs's own stands under `…overlay.ply.*`. The other dialects are those found in layers other programs wrote (clients.md section 1).
 */
export class Names {
  readonly prefix: string;
  readonly opaque: number;
  readonly redirect: number;
  readonly metacopy: number;
  readonly origin: number;
  readonly impure: number;
  readonly nlink: number;
  readonly whiteout: number;
  /** the inode number shown for what was copied up: 8 bytes, little-endian */
  readonly ino: number;
  /** value of security.capability put by while data are written into a metacopy, which strips it */
  readonly capability: number;
  /** on an empty regular file: shown as the container's own char 0/0 */
  readonly fake: number;
  /** "opaque" in every dialect a lower may have it in */
  readonly opaqueDialects: readonly number[];
  readonly accessAcl: number;
  readonly defaultAcl: number;
  readonly fileCapability: number;
  /** by Override (override.ts): under which owner and mode are kept */
  readonly overrides: readonly number[];
  readonly dot: number;
  readonly empty: number;

  private at: number;

  constructor(
    private readonly u8: Uint8Array,
    from: number,
    capacity: number,
    userxattr: boolean,
  ) {
    this.at = from;
    this.prefix = userxattr ? 'user.overlay.' : 'trusted.overlay.';
    this.opaque = this.add(`${this.prefix}opaque`);
    this.redirect = this.add(`${this.prefix}redirect`);
    this.metacopy = this.add(`${this.prefix}metacopy`);
    this.origin = this.add(`${this.prefix}origin`);
    this.impure = this.add(`${this.prefix}impure`);
    this.nlink = this.add(`${this.prefix}nlink`);
    this.whiteout = this.add(`${this.prefix}whiteout`);
    this.ino = this.add(`${this.prefix}ply.ino`);
    this.capability = this.add(`${this.prefix}ply.capability`);
    this.fake = this.add(`${this.prefix}ply.char00`);
    this.opaqueDialects = [
      this.opaque,
      this.add(userxattr ? 'trusted.overlay.opaque' : 'user.overlay.opaque'),
      this.add('user.fuseoverlayfs.opaque'),
    ];
    this.accessAcl = this.add('system.posix_acl_access');
    this.defaultAcl = this.add('system.posix_acl_default');
    this.fileCapability = this.add('security.capability');
    this.overrides = OVERRIDE_NAMES.map((name) => this.add(name));
    this.dot = this.add('.');
    this.empty = this.add('');
    if (this.at > from + capacity) throw new RangeError('names do not fit');
  }

  private add(name: string): number {
    const from = this.at;
    this.at += this.u8.length === 0 ? 0 : writeAscii(this.u8, from, name) + 1;
    return from;
  }

  /** Is the xattr name at `name` one that an overlay file system may have set, in any dialect? */
  isOverlays(name: number): boolean {
    return OVERLAYS.some((prefix) => startsWith(this.u8, name, prefix));
  }

  /** Is the xattr name at `name` one of the overlay's own (and not an escaped one of a nested overlay)? */
  isPrivate(name: number): boolean {
    return startsWith(this.u8, name, this.prefix) && !startsWith(this.u8, name + this.prefix.length, 'overlay.');
  }

  /** Is it of those under which owners and modes are kept? */
  isOverride(name: number): boolean {
    return OVERRIDE_PREFIXES.some((prefix) => startsWith(this.u8, name, prefix));
  }

  /** Is it an escaped one: `…overlay.overlay.X`, which a nested overlay calls `…overlay.X`? */
  isEscaped(name: number): boolean {
    return startsWith(this.u8, name, this.prefix) && startsWith(this.u8, name + this.prefix.length, 'overlay.');
  }

  /** Writes the escaped form of a name within our prefix to `out` (at most 255 bytes and a NUL). False: it would be too long. */
  escape(name: number, length: number, out: number): boolean {
    if (length + 8 > 255) return false;
    const head = this.prefix.length;
    this.u8.copyWithin(out, name, name + head);
    writeAscii(this.u8, out + head, 'overlay.');
    this.u8.copyWithin(out + head + 8, name + head, name + length + 1);
    return true;
  }
}

/** How the names of overlay file systems' xattrs begin. */
const OVERLAYS = ['trusted.overlay.', 'user.overlay.', 'user.fuseoverlayfs.'];

export function writeAscii(u8: Uint8Array, at: number, text: string): number {
  for (let i = 0; i < text.length; i++) u8[at + i] = text.charCodeAt(i);
  u8[at + text.length] = 0;
  return text.length;
}

export function startsWith(u8: Uint8Array, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) if (u8[at + i] !== text.charCodeAt(i)) return false;
  return true;
}
