import type { Client } from '../../client/client';
import { PlyError } from '../../client/errors';
import { describeContainer, describeImage, describeLayer, describeMount } from '../describe';
import { findMount } from '../find-mount';
import type { Paint } from '../format';
import type { Verb } from '../verb';

/** An object, and how it is shown: as JSON it is the object itself. */
interface Found {
  toJSON: () => object;
  text: (paint: Paint) => string;
}

type Kind = 'container' | 'image' | 'layer' | 'mount';

/** In the order in which a name is looked for. */
const KINDS: Record<Kind, (daemon: Client, word: string) => Promise<Found>> = {
  container: async (daemon, word) => {
    const object = await daemon.containers.get(word, { size: true });
    return { toJSON: () => object, text: (paint) => describeContainer(object, paint) };
  },
  image: async (daemon, word) => {
    const object = await daemon.images.get(word);
    return { toJSON: () => object, text: (paint) => describeImage(object, paint) };
  },
  layer: async (daemon, word) => {
    const object = await daemon.layers.get(word);
    return { toJSON: () => object, text: (paint) => describeLayer(object, paint) };
  },
  mount: async (daemon, word) => {
    const object = await findMount(daemon, word);
    return { toJSON: () => object, text: (paint) => describeMount(object, paint) };
  },
};

export const verb: Verb = {
  usage: ['inspect [--type KIND] REF…'],
  about:
    'Shows all of a container, image, layer or mount. A REF is a name, an id or the beginning of one; of a mount also its mount point.',
  words: { min: 1, max: Infinity, names: 'a REF' },
  options: { type: { type: 'string', requiresArg: true, choices: Object.keys(KINDS), describe: 'look only among these' } },
  examples: [
    ['inspect web1', 'a container, and what it wrote'],
    ['inspect --type image web --json', 'the image, though a container has that name too'],
  ],
  notes: 'A name that several have means the container, then the image, then the layer.',
  async run(args, daemon, output) {
    const kind = args.text('type') as Kind | undefined;
    const kinds = kind === undefined ? (Object.keys(KINDS) as Kind[]) : [kind];
    await output.each(
      args.words,
      (word) => search(daemon, word, kinds),
      (found, word) => output.text((word === args.words[0] ? '' : '\n') + found.text(output.paint)),
    );
  },
};

async function search(daemon: Client, word: string, kinds: readonly Kind[]): Promise<Found> {
  const near = new Set<string>();
  for (const kind of kinds) {
    try {
      return await KINDS[kind](daemon, word);
    } catch (error) {
      if (!(error instanceof PlyError) || error.code !== 'not-found') throw error;
      if (kinds.length === 1) throw error;
      for (const name of error.near) near.add(name);
    }
  }
  throw new PlyError({
    code: 'not-found',
    message: `there is no container, image, layer or mount ${word}: \`ply ps -a\`, \`images\`, \`layer ls\` and \`mounts\` list them`,
    ...(near.size > 0 && { near: [...near] }),
  });
}
