import type { Driver } from '../../daemon/api/types';
import { mountRequest } from '../mount-options';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['mount [--driver fuse-native] -o lowerdir=A:B[,upperdir=U,workdir=W][,OPTION…] MOUNTPOINT'],
  about:
    'Mounts a stack of directories as one tree, without layers or images: A lies over B. Prints the id of the mount, which is usable then.',
  words: { min: 1, max: 1, names: 'a MOUNTPOINT' },
  options: {
    o: {
      alias: 'options',
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'mount options, separated by commas; may come several times',
    },
    driver: {
      type: 'string',
      requiresArg: true,
      choices: ['plyfs', 'fuse-native'],
      describe: 'who takes the requests from the kernel: plyfs itself, or the npm package fuse-native (read-only mounts)',
    },
  },
  examples: [
    ['mount -o lowerdir=/layers/app:/layers/base,upperdir=/c/1/upper,workdir=/c/1/work /c/1/merged', 'writes go to upper'],
    ['mount -o lowerdir=/layers/app:/layers/base /mnt', 'read-only'],
    ['mount --driver fuse-native -o lowerdir=/layers/app:/layers/base /mnt', 'the same through libfuse 2'],
    ['umount /mnt', 'ends it'],
  ],
  notes: `workdir is an empty directory on the file system of upperdir. \\: and \\, and \\\\ stand for a colon, a comma and a backslash in
a name. The other options are those of plyfs: \`plyfs --help\` lists them. fuse-native has to be installed, and cannot do
everything: docs/compatibility.md says how, and what.`,
  async run(args, daemon, output) {
    const driver = args.text('driver') as Driver | undefined;
    const request = mountRequest(args.texts('o').join(','), args.word(0));
    const mount = await daemon.mounts.add({ ...request, ...(driver !== undefined && { driver }) });
    if (output.json) output.value(mount);
    else output.line(mount.id);
  },
};
