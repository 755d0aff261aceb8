/** --change, in the words of a Dockerfile. */
import t from 'tap';
import { changed, type RunConfig } from '../../daemon/images/instructions.js';

const CASES: [string, RunConfig, string[], RunConfig][] = [
  ['CMD as JSON', {}, ['CMD ["a", "b c"]'], { Cmd: ['a', 'b c'] }],
  ['CMD for a shell', {}, ['cmd echo "hi" $X'], { Cmd: ['/bin/sh', '-c', 'echo "hi" $X'] }],
  ['ENTRYPOINT takes the command with it', { Cmd: ['x'] }, ['ENTRYPOINT ["e"]'], { Cmd: null, Entrypoint: ['e'] }],
  ['ENTRYPOINT and CMD', { Cmd: ['x'] }, ['CMD ["y"]', 'ENTRYPOINT ["e"]'], { Cmd: ['y'], Entrypoint: ['e'] }],
  [
    'ENV, several',
    { Env: ['A=0', 'B=b'] },
    [`ENV A=1 C="two words" D='$A' E=three\\ words`],
    { Env: ['A=1', 'B=b', 'C=two words', 'D=$A', 'E=three words'] },
  ],
  ['ENV, the old form', {}, ['ENV A one two'], { Env: ['A=one two'] }],
  ['variables', { Env: ['PATH=/bin'] }, ['ENV PATH=$PATH:/x B=${NONE:-d}${PATH:+y}'], { Env: ['PATH=/bin:/x', 'B=dy'] }],
  [
    'EXPOSE',
    {},
    ['EXPOSE 80 53/UDP 8000-8002'],
    { ExposedPorts: { '80/tcp': {}, '53/udp': {}, '8000/tcp': {}, '8001/tcp': {}, '8002/tcp': {} } },
  ],
  ['LABEL', { Labels: { a: '1' } }, ['LABEL a=2 "b c"="d e"'], { Labels: { a: '2', 'b c': 'd e' } }],
  ['ONBUILD', {}, ['ONBUILD RUN x'], { OnBuild: ['RUN x'] }],
  ['USER', {}, ['USER 1:2'], { User: '1:2' }],
  ['VOLUME', {}, ['VOLUME ["/a b"]', 'VOLUME /c /d'], { Volumes: { '/a b': {}, '/c': {}, '/d': {} } }],
  ['WORKDIR, relative to the last', { WorkingDir: '/srv' }, ['WORKDIR a', 'WORKDIR ../b'], { WorkingDir: '/srv/b' }],
  ['what is not named stays', { Cmd: ['x'], StopSignal: 'SIGQUIT' }, ['USER a'], { Cmd: ['x'], StopSignal: 'SIGQUIT', User: 'a' }],
];

const REFUSED = [
  'RUN x',
  'FROM x',
  '',
  'CMD',
  'CMD ["a", b]',
  'ENV A',
  'ENV =x',
  'ENV A="x',
  'EXPOSE 99999',
  'EXPOSE x',
  'ONBUILD FROM x',
  'VOLUME relative',
  'USER a b',
];

t.test('what they make of a config', (t) => {
  for (const [what, config, instructions, expected] of CASES) {
    const before = JSON.stringify(config);
    t.strictSame(changed(config, instructions), expected, what);
    t.equal(JSON.stringify(config), before);
  }
  t.end();
});

t.test('what makes no sense is refused, and the message says which', (t) => {
  for (const instruction of REFUSED)
    t.throws(() => changed({}, [instruction]), { code: 'bad-request', message: /^--change / }, instruction);
  t.end();
});
