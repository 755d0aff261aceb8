/** Clients are killed in the middle of whatever they do; the mount goes on, and nothing of what they held is left. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { leftBehind } from '../support/leaks.js';
import { runOperations } from '../support/syscalls.js';
import { manifest } from '../support/trees.js';
import { Random } from '../fuzz/random';
import { arena, type Arena, assertClean, Client, more, script } from './arena';
import { lowerTrees } from './model';

const SECONDS = more(20);
const LIMIT_MS = 60_000;
const AT_ONCE = 5;

/** Commands that keep a mount busy, in a directory of their own. */
const BUSY: ((directory: string, root: string, random: Random) => Client)[] = [
  (_directory, root, random) => script('actor', [root, `${random.below(8)}`, '8', '100000'], LIMIT_MS),
  (directory) => shell(directory, 'cp -a ../shared . ; cp -a shared again ; rm -rf shared again'),
  (directory) => shell(directory, 'while :; do tar cf - -C .. shared | tar xf - ; rm -rf shared; done'),
  (directory) =>
    shell(directory, 'for i in $(seq 1000); do : >f$i; done; while :; do for i in $(seq 1000); do mv f$i g$i; mv g$i f$i; done; done'),
  (directory) => shell(directory, 'while :; do dd if=/dev/zero of=big bs=1M count=64 conv=fsync status=none; rm big; done'),
  (directory) => shell(directory, 'exec 5>>../shared/a/log 6<../shared/b/log; while :; do echo line >&5; ls -lR .. >list; done'),
  (directory) => shell(directory, 'while :; do chmod -R u+x ../p1 ../p2; touch ../p3/*; ln -f ../p4/* . ; rm -f p4*; done'),
  (directory) => shell(directory, 'exec 3<>held; rm held; while :; do head -c 100000 /dev/zero >&3; done'),
];

/** Its children are its process group's no more than it is: all of them must be killed. */
function shell(directory: string, text: string): Client {
  return Client.start('setsid', ['-w', 'sh', '-c', `cd "$1" || exit; trap 'kill 0' TERM; ${text}`, 'sh', directory], LIMIT_MS);
}

/** Kills every process whose working directory is in the mount. */
function killAll(mountpoint: string): void {
  for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (fs.readlinkSync(`/proc/${pid}/cwd`).startsWith(`${mountpoint}/`)) process.kill(Number(pid), 'SIGKILL');
    } catch {
      // it ended by itself
    }
  }
}

async function answers(mounted: Arena, round: number): Promise<string[]> {
  const outcomes = await runOperations(
    mounted.mountpoint,
    [
      `mkdir path=alive${round}`,
      `write path=alive${round}/f data=yes flags=O_CREAT`,
      `read path=alive${round}/f`,
      `list path=shared/a`,
      `stat path=shared/b/log`,
    ],
    { timeoutMs: 20_000, onHang: () => mounted.tearAway() },
  );
  return outcomes.map(({ error }) => error);
}

t.test('a mount outlives clients that are killed', async (t) => {
  const mounted = await arena(t, lowerTrees(8));
  const random = new Random(1, 32);
  const end = Date.now() + SECONDS * 1000;
  let killed = 0;
  for (let round = 0; Date.now() < end; round++) {
    const clients = Array.from({ length: AT_ONCE }, (_, i) => {
      const directory = path.join(mounted.mountpoint, `busy${round}-${i}`);
      fs.mkdirSync(directory);
      return random.pick(BUSY)(directory, mounted.mountpoint, random);
    });
    await new Promise((resolve) => setTimeout(resolve, random.between(50, 1500)));
    for (const client of clients) client.kill();
    killAll(mounted.mountpoint);
    await Promise.all(clients.map((client) => client.ended));
    killed += clients.length;
    if (round % 4 === 0)
      t.same(await answers(mounted, round), ['ok', 'ok', 'ok', 'ok', 'ok'], `the mount answers after ${killed} were killed`);
  }
  killAll(mounted.mountpoint);
  const before = await manifest(mounted.mountpoint, { hash: false });
  t.same(
    [...before.values()].filter(({ error }) => error !== undefined),
    [],
    'the whole tree can be read',
  );
  await mounted.remount();
  const after = await manifest(mounted.mountpoint, { hash: false });
  t.same([...after.keys()], [...before.keys()], 'and is the same after a remount');
  const { status, output } = await Client.start('sh', ['-c', 'rm -rf "$1"/*', 'sh', mounted.mountpoint], LIMIT_MS).ended;
  t.equal(status, 0, `all of it can be removed ${output}`);
  await assertClean(t, mounted);
});

t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));
