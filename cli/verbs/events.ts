import type { Event } from '../../daemon/api/types';
import { PlyError } from '../../client/errors';
import { UsageError } from '../errors';
import { printable, shortId } from '../format';
import type { Output } from '../output';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['events [--since N] [--follow]'],
  about: 'Shows what happens to layers, images, containers, mounts and engines, a line each, as it happens. Ctrl-C ends it.',
  words: { min: 0, max: 0, names: '' },
  options: {
    follow: { alias: 'f', type: 'boolean', describe: 'go on as events come, until Ctrl-C: that is so anyway' },
    since: { type: 'string', requiresArg: true, describe: 'first what has happened after event number N (0: all that plyd remembers)' },
  },
  examples: [
    ['events --follow', 'from now on'],
    ['events --since 0', 'and what was before'],
    ['events --json | jq -r .type', 'for programs: one object a line'],
  ],
  async run(args, daemon, output) {
    const since = args.text('since');
    if (since !== undefined && !/^\d{1,15}$/.test(since)) throw new UsageError(`--since takes the number of an event, not "${since}"`);
    for await (const event of daemon.events({ since: since === undefined ? undefined : Number(since) })) {
      output.line(output.json ? JSON.stringify(event) : shown(event, output));
    }
    throw new PlyError({ code: 'no-answer', message: 'plyd ended the events: it was stopped, or this client was too slow' });
  },
};

function shown({ seq, time, type, id, name, detail }: Event, { paint }: Output): string {
  const words = [paint('dim', printable(time)), String(seq), paint('bold', printable(type)), shortId(printable(id))];
  return [...words, printable(name ?? ''), printable(detail ?? '')].filter((word) => word !== '').join(' ');
}
