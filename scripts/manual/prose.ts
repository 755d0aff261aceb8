/** What the manual says beside the programs' own tables. Backquotes: as it is typed. */

export const PLY = `ply is the client of \`plyd\`, the daemon that keeps layers, images and containers and mounts them. A layer is read-only and stored once; an image is a stack of layers; a container is an image and an upper directory of its own, to which everything is written.

A container, image or layer goes by its name, its id, or 4 or more first characters of its id.`;

export const PLYD = `plyd keeps the store of layers, images and containers, makes their mounts, and starts, watches and restarts the engines that serve them. It answers HTTP on a Unix socket, which \`ply\` uses: see docs/api.md.

A setting comes from the command line, else from the environment, else from the configuration file, else it is what is usual; \`plyd config dump\` says which.

Whoever may write to the socket may do what root may: its group is as good as root.

SIGTERM and SIGINT end plyd: it finishes what it is asked, unmounts everything (unless \`--keep-mounts\` is given), and stops its engines. A second one ends it at once; its mounts stay and the next plyd takes them over.`;

export const PLYFS = `\`mount.plyfs\` and \`mount.fuse.plyfs\` are other names of it, for \`mount -t plyfs\` and \`mount -t fuse.plyfs\` and for lines in /etc/fstab. In podman's storage.conf it is a \`mount_program\`.

If a plyd of the same user runs, it serves the mount and lists it in \`ply mounts\`. Else the mounts of a user share one engine, which ends with the last of them.`;

export const TOML = `The configuration of \`plyd\`, in TOML: /etc/ply/plyd.toml for root, $XDG_CONFIG_HOME/ply/plyd.toml (or ~/.config/ply/plyd.toml) for others, if it is there; or that of \`plyd --config FILE\`, which has to be. \`plyd config check\` finds what is wrong with it. Command line and environment (PLY_ROOT, PLY_SOCKET) come before it. A setting that there is not, or a value of the wrong kind, is an error, and plyd does not start.`;

/** The settings of plyd.toml: the value of the example, and what it means. plyd's own help describes those that are options, too. */
export const SETTINGS: Readonly<Record<string, { value: string; about?: string }>> = {
  root: { value: '"/var/lib/ply"' },
  socket: { value: '"/run/ply/ply.sock"' },
  group: { value: '"ply"', about: "a group's name or number: its members may use the socket, and so do what root may (plyd's own group)" },
  'log-level': { value: '"info"' },
  'log-pretty': { value: 'false', about: 'the log for people (true), or as JSON (false); for people on a terminal' },
  'keep-mounts': { value: 'true' },
  'warm-engine': {
    value: 'true',
    about:
      'an engine runs before the first mount, and practises for some seconds, so that the first container does not find it slow; false: engines are started when they are needed (true)',
  },
  workers: { value: '2', about: 'threads of each engine, 1 to 29 (one per CPU, at most 8)' },
  transport: { value: '"auto"' },
};

/** Options that are there because callers pass them. */
export const FURTHER_OPTIONS: Readonly<Record<string, string>> = {
  acl: 'POSIX ACLs: as usual',
  allow_other: 'what every mount of plyfs has',
  default_permissions: 'what every mount of plyfs has',
  defaults: 'what every mount of plyfs has',
};

export const ENVIRONMENT: readonly (readonly [string, string])[] = [
  ['PLY_SOCKET', "plyd's socket; `--socket` comes before it"],
  ['NO_COLOR', '1 switches colours off'],
  ['PLY_DEBUG', '1 has unexpected errors show their stack'],
];

export const FILES: readonly (readonly [string, string])[] = [
  ['/etc/ply/plyd.toml', "the configuration of root's plyd, and so of the service: see `plyfs.toml`(5)"],
  ['/run/ply/ply.sock', "plyd's socket; of an ordinary user's plyd $XDG_RUNTIME_DIR/ply/ply.sock"],
  ['/run/ply/containerd.sock', "containerd's, where plyd-containerd.socket is enabled, or `containerd-socket` names it"],
  ['/var/lib/ply', "the store; of an ordinary user's plyd $XDG_DATA_HOME/ply"],
];
