import type { Change } from '../../daemon/api/types';
import { type Colour, printable } from '../format';
import type { Verb } from '../verb';

const COLOURS: Record<Change['kind'], Colour> = { A: 'green', C: 'yellow', D: 'red' };

export const verb: Verb = {
  usage: ['diff CONTAINER'],
  about:
    'Shows what a container changed, one path a line: A added, C changed, D deleted. A changed directory is named for what is in it too.',
  words: { min: 1, max: 1, names: 'a CONTAINER' },
  examples: [
    ['diff web1', 'everything'],
    ["diff web1 | grep '^D'", 'what it deleted'],
  ],
  async run(args, daemon, output) {
    const changes = await daemon.containers.diff(args.word(0));
    if (output.json) output.value(changes);
    else if (output.terminal) {
      output.text(changes.map(({ kind, path }) => `${output.paint(COLOURS[kind], kind)} ${printable(path)}\n`).join(''));
    } else {
      output.bytes(Buffer.concat(changes.flatMap((change) => [Buffer.from(`${change.kind} `), bytesOf(change), NEWLINE])));
    }
  },
};

const NEWLINE = Buffer.from('\n');

/** Into a pipe the name goes as it is, whatever its bytes. */
function bytesOf({ path, pathBase64 }: Change): Buffer {
  return pathBase64 === undefined ? Buffer.from(path) : Buffer.from(pathBase64, 'base64');
}
