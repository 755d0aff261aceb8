/** What `ply run` runs: the image's config, and what the command line says instead. */
import t from 'tap';
import { type Asked, settings } from '../../cli/run/settings.js';

const ASKED: Asked = { command: [], entrypoint: undefined, env: [], workingDir: undefined, user: undefined, hostname: 'h' };
const CONFIG = {
  config: { Entrypoint: ['/entry', '-x'], Cmd: ['serve'], Env: ['PATH=/app', 'A=image', 'B=image'], WorkingDir: '/srv', User: 'www:www' },
};

void t.test('the image says it, unless the command line does', (t) => {
  t.match(settings('i', CONFIG, ASKED), { command: ['/entry', '-x', 'serve'], workingDir: '/srv', user: 'www:www' });
  t.same(settings('i', CONFIG, { ...ASKED, command: ['a', 'b'] }).command, ['/entry', '-x', 'a', 'b']);
  t.same(settings('i', CONFIG, { ...ASKED, entrypoint: '/other' }).command, ['/other'], 'Cmd belongs to the Entrypoint');
  t.same(settings('i', CONFIG, { ...ASKED, entrypoint: '', command: ['a'] }).command, ['a']);
  t.match(settings('i', CONFIG, { ...ASKED, workingDir: '/w', user: '0' }), { workingDir: '/w', user: '0' });
  t.throws(() => settings('i', null, ASKED), { code: 'bad-request', message: /the image i says no command/ });
  t.end();
});

void t.test('the last value of a variable counts; one without a value is ours', (t) => {
  process.env['PLYFS_TEST_VARIABLE'] = 'ours';
  const { env } = settings('i', CONFIG, { ...ASKED, env: ['B=asked', 'PLYFS_TEST_VARIABLE', 'PLYFS_TEST_NONE', 'C=x=y'] });
  t.same(
    env.filter((one) => !one.startsWith('TERM=')),
    ['PATH=/app', 'HOSTNAME=h', 'A=image', 'B=asked', 'PLYFS_TEST_VARIABLE=ours', 'C=x=y'],
  );
  t.end();
});

void t.test('a config that is not what it should be counts as none', (t) => {
  for (const config of [{ config: 7 }, { config: null }, { config: { Cmd: 'sh', Env: [1], User: {}, WorkingDir: [] } }, {}]) {
    t.match(settings('i', config, { ...ASKED, command: ['x'] }), { command: ['x'], user: '', workingDir: '' });
  }
  t.end();
});
