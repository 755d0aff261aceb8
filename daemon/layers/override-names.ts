/** The names of the xattrs that owners and modes may be kept in (override.ts). */

/** Under which name a layer keeps them. */
export const enum Override {
  /** it does not: they are the files' own */ NONE = 0,
  USER = 1,
  PRIVILEGED = 2,
  CONTAINERS = 3,
}

export const OVERRIDES = [Override.NONE, Override.USER, Override.PRIVILEGED, Override.CONTAINERS] as const;

/** By Override. */
export const OVERRIDE_NAMES = [
  '',
  'user.fuseoverlayfs.override_stat',
  'security.fuseoverlayfs.override_stat',
  'user.containers.override_stat',
] as const;

/** How the names of such xattrs begin: what else containers/storage keeps under `user.containers.override_` is nobody's either. */
export const OVERRIDE_PREFIXES = ['user.fuseoverlayfs.override_', 'security.fuseoverlayfs.override_', 'user.containers.override_'] as const;
