/** The commands of README.md's sections on images and on containers of directories, as they are written, one after the other, with a plyd and a root of the test's own. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { shell } from '../cli/stand-in.js';
import { leftBehind, sh, testWithPlyd } from '../plyd/daemon.js';

const README = path.resolve(__dirname, '../../../README.md');
/** What is done once for a machine, and in this test by itself. */
const MACHINE = /scripts\/setup|make-debian-root|dist\/bin\/plyd|pkill/;

/** Of the first block of a section. */
function commandsOf(title: string): string[] {
  const text = fs.readFileSync(README, 'utf8');
  const section = text.slice(text.indexOf(`\n## ${title}\n`));
  return (/^```$(.*?)^```$/ms.exec(section)?.[1] ?? '').trim().split('\n');
}

testWithPlyd('the commands in README.md do what they say', async (t, plyd) => {
  const images = commandsOf('Images');
  const directories = commandsOf('Containers of directories');
  t.ok(images.length > 12 && directories.length > 8);
  const root = path.join(plyd.base, 'debian-root');
  for (const name of ['bin', 'etc', 'srv', 'tmp', 'proc', 'dev', 'sys']) fs.mkdirSync(path.join(root, name), { recursive: true });
  fs.copyFileSync('/bin/busybox', path.join(root, 'bin/busybox'));
  fs.chmodSync(path.join(root, 'bin/busybox'), 0o755);
  for (const name of ['sh', 'cat']) fs.symlinkSync('busybox', path.join(root, 'bin', name));
  fs.writeFileSync(path.join(root, 'etc/debian_version'), '12.12\n');
  fs.mkdirSync(path.join(plyd.base, 'tmp'));
  const shown: Record<string, string> = {};
  for (const command of [...images, ...directories].filter((one) => !MACHINE.test(one))) {
    const real = command
      .replaceAll('sudo ', '')
      .replaceAll('dist/bin/ply ', 'ply ')
      .replaceAll('/var/cache/plyfs/debian-root', root)
      .replaceAll('/var/tmp/', `${plyd.base}/tmp/`);
    const { status, stdout, stderr } = await shell(real, { PLY_SOCKET: plyd.socket });
    t.equal(status, 0, `${command}: ${stdout}${stderr}`);
    shown[
      command
        .replace(/^sudo dist\/bin\/ply /, '')
        .split(' ', 2)
        .join(' ')
    ] = stdout;
  }
  t.match(shown['start web'], new RegExp(`^${plyd.root}/containers/[0-9a-f]{64}/merged\\n$`));
  t.match(shown['ps -s'], / web +plain .* Up /);
  t.equal(shown['run debian'], '12.12\n');
  t.match(shown['diff work'], /^A \/srv\/hello$/m);
  t.equal(shown['run debian:hello'], 'hello\n');
  t.match(shown['history debian:hello'], /says hello/);
  const { stdout } = await sh('tar -tf "$1"', `${plyd.base}/tmp/hello.tar`);
  t.match(stdout, /^oci-layout$/m);
  t.same(await plyd.containers(), []);
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));
