import type { CommitRequest } from '../../daemon/api/types';
import { size } from '../format';
import { ProgressLine } from '../output';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['commit CONTAINER [NAME[:TAG]] [--author TEXT] [--message TEXT] [--change INSTRUCTION]…'],
  about:
    'Makes an image of a container: the layers of its image, and one more with what the container changed. Prints the id of the image.',
  words: { min: 1, max: 2, names: 'a CONTAINER' },
  options: {
    author: { alias: 'a', type: 'string', requiresArg: true, describe: 'who made it' },
    message: { alias: 'm', type: 'string', requiresArg: true, describe: 'what it is, for `ply history`' },
    change: {
      alias: 'c',
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'a line of a Dockerfile: CMD ENTRYPOINT ENV EXPOSE LABEL ONBUILD USER VOLUME WORKDIR; may come several times',
    },
  },
  examples: [
    ['commit web1 web:2', 'as an image of that name, which moves to it'],
    ['commit web1 web:2 -m "nginx added" -a me@example.org', 'for `ply history`'],
    ["commit web1 web:2 --change 'CMD [\"nginx\"]' --change 'ENV LANG=C'", 'with another command and environment'],
  ],
  notes:
    'A container that runs is not paused (there is no --pause): each file is as it is at the moment it is read, and two files\nmay be of different moments. Stop it first where that matters.',
  async run(args, daemon, output) {
    const [author, message, changes] = [args.text('author'), args.text('message'), args.texts('change')];
    const request: CommitRequest = {
      ...(args.words.length > 1 && { tag: args.word(1) }),
      ...(author !== undefined && { author }),
      ...(message !== undefined && { message }),
      ...(changes.length > 0 && { changes }),
    };
    const line = new ProgressLine(output.json);
    try {
      const work = daemon.containers.commit(args.word(0), request);
      for await (const { bytes } of work) line.show(`committing ${args.word(0)} … ${size(bytes)}`);
      const result = await work.result();
      line.end();
      if (output.json) output.value(result);
      else output.line(result.image.id);
    } finally {
      line.end();
    }
  },
};
