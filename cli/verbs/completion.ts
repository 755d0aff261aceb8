import { candidates } from '../completion/candidates';
import { completionScript, SHELLS } from '../completion/scripts';
import { UsageError } from '../errors';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['completion bash|zsh|fish'],
  about: 'Prints what makes a shell complete the command lines of ply, plyd and plyfs: verbs, options, and the names of what plyd has.',
  words: { min: 1, max: Infinity, names: 'the name of a shell: bash, zsh or fish' },
  stopsAtWords: true,
  examples: [
    ['completion bash >/etc/bash_completion.d/ply', 'for everybody'],
    ['completion zsh >~/.zfunc/_ply', 'into a directory of $fpath'],
    ['completion fish | source', 'for this shell'],
  ],
  notes: `make install and the Debian package install them.
\`ply completion candidates PROGRAM WORD…\` is what the shells call: it prints what the last word may become,
a line each, with a tab before what it is; ":files": a file.`,
  async run(args, daemon, output) {
    const [shell, program = 'ply', ...words] = args.words;
    if (shell === 'candidates') {
      const found = await candidates(program, words, daemon);
      const unique = [...new Map(found.map((one) => [one[0], one])).values()];
      if (output.json) output.value(unique.map(([word, about = '']) => ({ word, about })));
      else output.text(unique.map(([word, about]) => (about ? `${word}\t${about}\n` : `${word}\n`)).join(''));
      return;
    }
    const known = SHELLS.find((one) => one === shell);
    if (known === undefined || args.words.length > 1)
      throw new UsageError(`there is completion for ${SHELLS.join(', ')}: not for ${args.words.join(' ')}`);
    if (output.json) output.value({ shell: known, script: completionScript(known) });
    else output.text(completionScript(known));
  },
};
