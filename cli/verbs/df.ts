import type { UsageRow } from '../../daemon/api/types';
import { shortId, size, table } from '../format';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['df [-v]'],
  about:
    'Shows what the store holds: how much of it is in use, and what would be freed if the rest went. Each object counts once, however many images share it.',
  words: { min: 0, max: 0, names: '' },
  options: { verbose: { alias: 'v', type: 'boolean', describe: 'every image, layer, container and snapshot' } },
  examples: [
    ['df', 'the whole'],
    ['df -v', 'what each shares with others, and has for itself'],
  ],
  notes: "Snapshots are containerd's, and go when containerd removes them: reclaimable are those that no container needs.",
  async run(args, daemon, output) {
    const usage = await output.patiently('measuring', daemon.df({ verbose: args.flag('verbose') }));
    if (output.json) {
      output.value(usage);
      return;
    }
    const { images, containers, layers, objects, snapshots, imageList, layerList, containerList, snapshotList } = usage;
    const rows = [
      ...[row('Images', images), row('Containers', containers), row('Layers', layers), row('Objects', objects)],
      row('Snapshots', snapshots),
    ];
    output.text(table(['TYPE', 'TOTAL', 'ACTIVE', 'SIZE', 'RECLAIMABLE'], rows, output.paint));
    if (imageList === undefined || layerList === undefined || containerList === undefined || snapshotList === undefined) return;
    const shares = (one: { size: number; shared: number; unique: number }): string[] => [
      size(one.size),
      size(one.shared),
      size(one.unique),
    ];
    const imageRows = imageList.map((one) => [one.name ?? '<none>', shortId(one.id), ...shares(one), String(one.containers)]);
    output.text(`\n${table(['IMAGE', 'IMAGE ID', 'SIZE', 'SHARED', 'UNIQUE', 'CONTAINERS'], imageRows, output.paint)}`);
    const layerRows = layerList.map((one) => [shortId(one.id), one.kind, ...shares(one), String(one.images)]);
    output.text(`\n${table(['LAYER ID', 'KIND', 'SIZE', 'SHARED', 'UNIQUE', 'IMAGES'], layerRows, output.paint)}`);
    const containerRows = containerList.map((one) => [one.name, one.state, size(one.size)]);
    output.text(`\n${table(['CONTAINER', 'STATE', 'SIZE'], containerRows, output.paint)}`);
    const snapshotRows = snapshotList.map((one) => [one.key, one.kind, size(one.size), one.parent ?? '']);
    output.text(`\n${table(['SNAPSHOT', 'KIND', 'SIZE', 'PARENT'], snapshotRows, output.paint)}`);
  },
};

function row(what: string, { total, active, size: bytes, reclaimable }: UsageRow): string[] {
  const share = bytes === 0 ? '' : ` (${Math.floor((reclaimable * 100) / bytes)}%)`;
  return [what, String(total), String(active), size(bytes), `${size(reclaimable)}${share}`];
}
