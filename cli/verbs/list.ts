/** The verbs: what `ply --help` shows, and which module has each. A module is loaded when its verb is asked for. */

export interface Entry {
  /** one word, or two: a group and its verb */
  readonly name: string;
  /** in this folder */
  readonly module: string;
  readonly summary: string;
  /** other names; not shown */
  readonly aliases?: readonly string[];
}

export const GROUPS: Readonly<Record<string, string>> = {
  layer: 'read-only directories that images are made of',
  image: 'stacks of layers',
};

export const VERBS: readonly Entry[] = [
  { name: 'layer add', module: 'layer-add', summary: 'take a directory as a layer' },
  { name: 'layer ls', module: 'layer-ls', summary: 'list layers', aliases: ['layers'] },
  { name: 'layer inspect', module: 'layer-inspect', summary: 'show all of a layer' },
  { name: 'layer verify', module: 'layer-verify', summary: 'see whether a layer is still what was added' },
  { name: 'layer rm', module: 'layer-rm', summary: 'forget layers' },
  { name: 'image create', module: 'image-create', summary: 'make an image of layers' },
  { name: 'import', module: 'import', summary: 'import an image from a file or directory', aliases: ['load'] },
  { name: 'images', module: 'images', summary: 'list images', aliases: ['image ls'] },
  { name: 'tag', module: 'tag', summary: 'give an image further names', aliases: ['image tag'] },
  { name: 'rmi', module: 'rmi', summary: 'remove images', aliases: ['image rm'] },
  { name: 'history', module: 'history', summary: 'show how an image was made' },
  { name: 'tree', module: 'tree', summary: 'show which layer of an image each path comes from' },
  { name: 'export', module: 'export', summary: 'write an image to a file' },
  { name: 'create', module: 'create', summary: 'create a container of an image' },
  { name: 'run', module: 'run', summary: 'run a command in a container of an image' },
  { name: 'start', module: 'start', summary: 'mount containers' },
  { name: 'stop', module: 'stop', summary: 'unmount containers' },
  { name: 'rm', module: 'rm', summary: 'remove containers and what they wrote' },
  { name: 'ps', module: 'ps', summary: 'list containers' },
  { name: 'diff', module: 'diff', summary: 'show what a container changed' },
  { name: 'commit', module: 'commit', summary: 'make an image of a container' },
  { name: 'inspect', module: 'inspect', summary: 'show all of a container, image, layer or mount' },
  { name: 'unshare', module: 'unshare', summary: "run a command where an ordinary user's containers are mounted" },
  { name: 'mount', module: 'mount', summary: 'mount a stack of directories' },
  { name: 'umount', module: 'umount', summary: 'unmount' },
  { name: 'mounts', module: 'mounts', summary: 'list mounts' },
  { name: 'df', module: 'df', summary: 'show what the store holds, and what could be freed' },
  { name: 'prune', module: 'prune', summary: 'remove what nothing refers to' },
  { name: 'fsck', module: 'fsck', summary: 'verify the store' },
  { name: 'info', module: 'info', summary: 'show what plyd is and does' },
  { name: 'stats', module: 'stats', summary: 'show what mounts are asked for, and how long that takes' },
  { name: 'events', module: 'events', summary: 'show what happens, as it happens' },
  { name: 'completion', module: 'completion', summary: "print a shell's completion" },
];

/** The verb that the first words name, and how many words that took. */
export function find(words: readonly string[]): { entry: Entry; length: number } | undefined {
  for (const length of [2, 1]) {
    const name = words.slice(0, length).join(' ');
    const entry = words.length >= length && VERBS.find((one) => one.name === name || one.aliases?.includes(name));
    if (entry) return { entry, length };
  }
  return undefined;
}

/** All that can be typed. */
export function names(): string[] {
  return VERBS.flatMap(({ name, aliases = [] }) => [name, ...aliases]);
}
