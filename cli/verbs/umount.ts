import { findMount } from '../find-mount';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['umount [--lazy] MOUNTPOINT|ID…'],
  about: "Unmounts what `ply mount` mounted. A container's mount is ended with `ply stop`.",
  words: { min: 1, max: Infinity, names: 'a MOUNTPOINT or the ID of a mount' },
  options: { lazy: { alias: 'l', type: 'boolean', describe: 'take the mount away now, and end it when nobody uses it any more' } },
  examples: [
    ['umount /mnt', 'by its mount point'],
    ['umount --lazy 3f2a91c04d1e', 'by its id, though it is in use'],
  ],
  async run(args, daemon, output) {
    process.chdir('/'); // or we might be what keeps it busy
    await output.each(
      args.words,
      async (word) => {
        const mount = await findMount(daemon, word);
        await daemon.mounts.remove(mount.id, { lazy: args.flag('lazy') });
        return mount;
      },
      (_, word) => output.line(word),
    );
  },
};
