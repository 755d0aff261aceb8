import { ago, count, fields } from '../format';
import type { Verb } from '../verb';

export const verb: Verb = {
  usage: ['info'],
  about: 'Shows what plyd is, where it keeps things, and the engines that serve its mounts.',
  words: { min: 0, max: 0, names: '' },
  examples: [
    ['info', 'for people'],
    ['info --json | jq .counts', 'for programs'],
  ],
  async run(_, daemon, output) {
    const info = await daemon.info();
    if (output.json) {
      output.value(info);
      return;
    }
    const { counts } = info;
    const engines = info.engines.map(
      ({ pid, level, workers, mounts, startedAt, restarts }) =>
        `pid ${pid}, level ${level}: ${count(mounts, 'mount')}, ${count(workers, 'worker')}, started ${ago(startedAt)}` +
        (restarts > 0 ? `, ${count(restarts, 'restart')}` : ''),
    );
    output.text(
      fields(
        [
          ['Version', info.version],
          ['Process', `${info.pid}, started ${ago(info.startedAt)}`],
          ['Root', info.root],
          ['Socket', info.socket],
          ['Kernel', info.kernel],
          ['Transport', `${info.transport.used} (${info.transport.why})`],
          ['Passthrough', info.passthrough ? 'yes' : 'no'],
          ['Layers', String(counts.layers)],
          ['Images', String(counts.images)],
          ['Containers', `${counts.containers} (${counts.running} running)`],
          ['Mounts', String(counts.mounts)],
          ['Engines', engines.length > 0 ? engines : 'none'],
        ],
        output.paint,
      ),
    );
  },
};
