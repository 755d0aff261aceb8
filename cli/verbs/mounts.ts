import { ago, shortId, table } from '../format';
import { mountState } from '../shown';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['mounts [-q]'],
  about: "Lists what plyd has mounted, those of containers and of containerd's snapshots too.",
  words: { min: 0, max: 0, names: '' },
  options: { quiet: { alias: 'q', type: 'boolean', describe: 'ids only' } },
  examples: [
    ['mounts', 'all of them'],
    ['mounts --json', 'with their layers and options'],
  ],
  async run(args, daemon, output) {
    const mounts = await daemon.mounts.list();
    if (output.json) output.value(mounts);
    else if (args.flag('quiet')) output.text(mounts.map(({ id }) => `${shortId(id)}\n`).join(''));
    else {
      const rows = mounts.map((mount) => [
        shortId(mount.id),
        mount.mountpoint,
        String(mount.lower.length),
        mount.upper === null ? 'ro' : 'rw',
        ago(mount.createdAt),
        mountState(mount),
        shortId(mount.container ?? ''),
        mount.snapshot ?? '',
      ]);
      output.text(table(['MOUNT ID', 'MOUNTPOINT', 'LAYERS', 'MODE', 'CREATED', 'STATE', 'CONTAINER', 'SNAPSHOT'], rows, output.paint));
    }
  },
};
