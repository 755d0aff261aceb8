import type { Container } from '../../daemon/api/types';
import { ago, type Cell, shortId, table } from '../format';
import { status, written } from '../shown';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['ps [-a] [-s] [-q]'],
  about: 'Lists containers that run, or failed to.',
  words: { min: 0, max: 0, names: '' },
  options: {
    all: { alias: 'a', type: 'boolean', describe: 'created and stopped ones too' },
    size: { alias: 's', type: 'boolean', describe: 'what each wrote: bytes on disk, files, whiteouts' },
    quiet: { alias: 'q', type: 'boolean', describe: 'ids only' },
  },
  examples: [
    ['ps', 'what runs'],
    ['ps -as', 'all, with their sizes'],
    ["ps --json | jq -r '.[].mountpoint'", 'for programs'],
  ],
  async run(args, daemon, output) {
    const sized = args.flag('size');
    const containers = await daemon.containers.list({ size: sized });
    const listed = containers.filter(({ state }) => args.flag('all') || state === 'running' || state === 'failed');
    if (output.json) output.value(listed);
    else if (args.flag('quiet')) output.text(listed.map(({ id }) => `${shortId(id)}\n`).join(''));
    else {
      const headings = ['CONTAINER ID', 'NAME', 'IMAGE', 'CREATED', 'STATUS', ...(sized ? ['SIZE'] : []), 'MOUNTPOINT'];
      output.text(
        table(
          headings,
          listed.map((container) => row(container, sized)),
          output.paint,
        ),
      );
    }
  },
};

function row(container: Container, sized: boolean): Cell[] {
  const size = sized ? [container.size ? written(container.size) : ''] : [];
  return [
    shortId(container.id),
    container.name,
    container.imageName,
    ago(container.createdAt),
    status(container),
    ...size,
    container.mountpoint ?? '',
  ];
}
