import type { ImageTree, LayerShare, TreeEntry } from '../../daemon/api/types';
import { count, printable, shortId, size, table } from '../format';
import type { Output } from '../output';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['tree IMAGE [--paths] [--hidden]'],
  about:
    'Shows what each layer of an image adds, what it hides of the layers below, and what it wastes: bytes of its files that layers above hide.',
  words: { min: 1, max: 1, names: 'an IMAGE' },
  options: {
    paths: { alias: 'p', type: 'boolean', describe: 'every path of the image before that, with the number of the layer it comes from' },
    hidden: { type: 'boolean', describe: 'paths, and those that a layer hides: N>M is in layer N and hidden by layer M' },
  },
  examples: [
    ['tree web', 'the layers, the lowest is number 1'],
    ['tree web --paths | grep /etc', 'where the paths in /etc come from'],
    ['tree web --hidden | grep ">"', 'what is in layers for nothing'],
    ['tree web --json', 'all of it'],
  ],
  async run(args, daemon, output) {
    const withHidden = args.flag('hidden');
    const withPaths = withHidden || args.flag('paths');
    const entries: TreeEntry[] = [];
    const work = daemon.images.tree(args.word(0));
    const read = async (): Promise<ImageTree> => {
      for await (const some of work) if (output.json || withPaths) for (const entry of some) entries.push(entry);
      return work.result();
    };
    const tree = await output.patiently(`reading ${args.word(0)}`, read());
    if (output.json) {
      output.value({ ...tree, entries });
      return;
    }
    for (const entry of entries) show(entry, tree.layers.length, withHidden, output);
    summary(tree.layers, output);
  },
};

/** People count layers from the lowest, 1. */
function show({ path, type, layer, hidden }: TreeEntry, layers: number, withHidden: boolean, output: Output): void {
  const number = (at: number): string => String(layers - at);
  const name = printable(path) + (type === 'directory' ? '/' : '');
  if (layer !== null) output.line(`${number(layer).padStart(3)}  ${name}`);
  if (!withHidden) return;
  for (const one of hidden) {
    const waste = one.size > 0 ? `  ${size(one.size)}` : '';
    output.line(output.paint('dim', `${number(one.layer)}>${number(one.by)}`.padStart(3) + `  ${name}${waste}`));
  }
}

function summary(layers: readonly LayerShare[], output: Output): void {
  const told = ({ entries, bytes }: { entries: number; bytes: number }): string => `${size(bytes)} (${count(entries, 'path')})`;
  const rows = layers.map((layer, at) => [
    String(layers.length - at),
    shortId(layer.id),
    told(layer.adds),
    told(layer.hides),
    told(layer.wastes),
    layer.createdBy.length > 40 ? `${layer.createdBy.slice(0, 39)}…` : layer.createdBy,
  ]);
  output.text(table(['LAYER', 'LAYER ID', 'ADDS', 'HIDES', 'WASTES', 'CREATED BY'], rows, output.paint));
  const sum = (of: 'adds' | 'wastes'): number => layers.reduce((all, layer) => all + layer[of].bytes, 0);
  output.line(`${size(sum('adds') - sum('wastes'))} in the image, ${size(sum('wastes'))} wasted`);
}
