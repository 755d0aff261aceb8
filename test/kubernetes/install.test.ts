/** install-on-node for real: its image built by podman, run as a pod by a node's containerd, which then runs containers on plyd. */
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { leftBehind, until } from '../plyd/daemon.js';
import { removeDirectory, temporaryDirectory } from '../support/leaks.js';
import { must, run } from '../support/mounts.js';
import { KubernetesNode, podmanEnvironment, REPOSITORY, skip } from './node.js';

const IMAGE = 'localhost/plyfs-node:1';
const UPGRADE = 'localhost/plyfs-node:2';
const BOX = 'localhost/box:1';
const PLYD = '$(systemctl show --property MainPID --value plyd.service)';

/** A base with this machine's Node.js, which plyfs was built with: no registry is needed. */
const BASE = String.raw`
set -eu
mkdir upper work root
mount -t overlay overlay -o "lowerdir=$1,upperdir=upper,workdir=work" root
cp "$(readlink -f "$(command -v node)")" root/usr/local/bin/node
for library in $(ldd root/usr/local/bin/node | awk '$3 ~ "^/" { print $3 }'); do
  [ -e "root$library" ] || cp "$library" root/usr/local/lib/
done
tar -C root --one-file-system -cf base.tar .
umount root
`;

/** The images as archives in `base`; podman's own files go. */
async function build(base: string, root: string): Promise<string[]> {
  const work = temporaryDirectory();
  const env = { ...process.env, ...podmanEnvironment(work) };
  const podman = (...args: string[]): Promise<string> => must('podman', args, { timeoutMs: 300_000, env, cwd: work });
  await must('unshare', ['--mount', '--propagation', 'private', 'sh', '-c', BASE, 'sh', root], { timeoutMs: 120_000, cwd: work });
  await podman('import', '--quiet', 'base.tar', 'localhost/base');
  await must(path.join(REPOSITORY, 'scripts/kubernetes/build-image'), [IMAGE, '--isolation=chroot', '--build-arg', 'BASE=localhost/base'], {
    timeoutMs: 300_000,
    env,
  });
  fs.writeFileSync(path.join(work, 'upgrade'), `FROM ${IMAGE}\nRUN echo 0.2.0-test >/plyfs/version\n`);
  await podman('build', '--isolation=chroot', '--tag', UPGRADE, '-f', 'upgrade', '.');
  fs.writeFileSync(path.join(work, 'box'), 'FROM scratch\nCOPY busybox /bin/busybox\n');
  fs.copyFileSync('/bin/busybox', path.join(work, 'busybox'));
  await podman('build', '--tag', BOX, '-f', 'box', '.');
  const archives = [IMAGE, UPGRADE, BOX].map((_, i) => path.join(base, `${i}.tar`));
  for (const [i, image] of [IMAGE, UPGRADE, BOX].entries()) await podman('save', '--quiet', '--output', archives[i], image);
  await podman('system', 'reset', '--force');
  await run('umount', ['-l', path.join(work, 'graph/overlay')]);
  await removeDirectory(work);
  return archives;
}

const OWN = `# ours
version = 2
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
oom_score = -7
[proxy_plugins.other]
  type = "snapshot"
  address = "/run/other.sock"
`;
const IMPORTS = 'imports = ["/etc/containerd/conf.d/*.toml"]\n';
const CONFIG = '/etc/containerd/config.toml';

void t.test(
  'a node gets plyd, its containerd runs containers on it, and they go on when another plyd comes',
  { skip, timeout: 900_000 },
  async (t) => {
    const base = temporaryDirectory();
    const node = new KubernetesNode();
    try {
      const made = await run(path.join(REPOSITORY, 'scripts/make-debian-root'), [], { timeoutMs: 600_000 });
      t.equal(made.status, 0, made.stderr);
      const archives = await build(base, made.stdout.trim());
      await node.start(made.stdout.trim());
      for (const archive of archives) fs.renameSync(archive, node.at('containerd', path.basename(archive)));
      await node.write(CONFIG, OWN);
      await node.must('systemctl start containerd.service; for i in 0 1; do ctr images import /var/lib/containerd/$i.tar; done');
      await node.asked();

      const containerd = (): Promise<string> => node.must('systemctl show --property MainPID --value containerd.service');
      const before = await containerd();
      const first = await node.install(IMAGE);
      t.equal(first.status, 0, first.log);
      const [version] = (await node.must('readlink /opt/plyfs/current')).split('\n');
      t.match(version, /^\d+\.\d+\.\d+-[0-9a-f]{12}$/);
      t.same(
        (await node.asked()).filter((one) => !one.startsWith('show')),
        [
          'daemon-reload',
          '--quiet enable plyd.socket plyd-containerd.socket plyd.service',
          'stop plyd.service',
          'start plyd.socket plyd-containerd.socket',
          'start plyd.service',
          'restart containerd.service',
        ],
      );
      t.not(await containerd(), before);
      t.equal(await node.read(CONFIG), IMPORTS + OWN);
      t.equal(await node.read(`${CONFIG}.before-plyfs`), OWN);
      const dump = await node.must('containerd config dump');
      t.match(dump, /oom_score = -7\n/);
      t.match(dump, /\[proxy_plugins\.other\]\s+address = "\/run\/other\.sock"/);
      t.match(dump, /\[proxy_plugins\.ply\]\s+address = "\/run\/ply\/containerd\.sock"\s+type = "snapshot"/);

      await node.must('ctr images import --snapshotter ply /var/lib/containerd/2.tar');
      await node.must(`ctr run --detach --snapshotter ply ${BOX} long /bin/busybox sleep 100000`);
      const inside = (script: string): Promise<string> =>
        node.must(`ctr tasks exec --exec-id "e$RANDOM$$" long /bin/busybox sh -c "$1"`, script);
      t.equal(await inside('/bin/busybox echo mine >/mine; /bin/busybox cat /mine'), 'mine\n');
      t.equal(await node.must('grep -c " /var/lib/ply/.* fuse.plyfs " /proc/mounts'), '1\n');

      const files = (): Promise<string> =>
        node.must('find /opt/plyfs/current/ /etc/systemd /etc/containerd -printf "%p %i %T@ %l\\n" | sort');
      const [was, process] = [await files(), await containerd()];
      await node.asked();
      const again = await node.install(IMAGE);
      t.equal(again.status, 0, again.log);
      t.same(
        (await node.asked()).filter((one) => !/^(show|daemon-reload|--quiet (enable|is-active))/.test(one)),
        [],
        'nothing is started a second time',
      );
      t.same([await files(), await containerd()], [was, process], 'nothing is written a second time');

      const upgrade = await node.install(UPGRADE);
      t.equal(upgrade.status, 0, upgrade.log);
      t.match(upgrade.log, new RegExp(`plyd ${version} -> 0\\.2\\.0-test\n(.*\n)*.*${version} is still used`));
      t.equal(await node.must(`readlink /proc/${PLYD}/exe`), '/opt/plyfs/0.2.0-test/lib/node/node\n');
      t.equal(await containerd(), process, 'its configuration is the same');
      t.equal(await inside('/bin/busybox cat /mine'), 'mine\n');
      const foundAgain = (): Promise<void> =>
        until('containerd has found it again', async () => (await node.run('ctr snapshots --snapshotter ply ls')).status === 0, 60_000);
      await foundAgain(); // it may have waited for its second
      await node.must(`ctr run --rm --snapshotter ply ${BOX} another /bin/busybox true`);

      const probe = `ctr run --rm --mount type=bind,src=/run/ply,dst=/run/ply,options=rbind:rw ${UPGRADE} "probe$RANDOM" /plyfs/tree/bin/ready`;
      t.equal((await node.run(probe)).status, 0, 'the probe of plyd.yaml');
      await node.must('systemctl stop plyd.service');
      t.equal(await inside('/bin/busybox cat /mine'), 'mine\n', 'without a plyd');
      await node.must('systemctl start plyd.service');
      await foundAgain();

      for (const [what, config, refusal] of [
        ['imports other files', OWN.replace('oom_score = -7', 'imports = ["/etc/other.toml"]'), /imports other files: have it import/],
        ['is of the old kind', OWN.replace('version = 2\n', ''), /neither "version = 2" nor 3/],
        ['is broken', `${OWN}[[[\n`, /containerd does not take .*config\.toml is as it was/],
      ] as const) {
        await node.write(CONFIG, config);
        const { status, log } = await node.install(UPGRADE);
        t.equal(status, 1, `a configuration that ${what}: ${log}`);
        t.match(log, refusal);
        t.equal(await node.read(CONFIG), config, 'it stays as it was');
      }
      const named = `${OWN}[proxy_plugins.ply]\n  type = "snapshot"\n  address = "/run/ply/containerd.sock"\n`;
      await node.write(CONFIG, named);
      await node.asked();
      t.equal((await node.install(UPGRADE)).status, 0, 'the plugin that somebody has named themselves');
      t.equal(await node.read(CONFIG), named);
      t.notOk((await node.asked()).some((one) => one.startsWith('restart')));
      await node.write(CONFIG, OWN.replace('oom_score = -7', 'imports = []'));
      t.equal((await node.install(UPGRADE)).status, 0);
      t.equal(await node.read(CONFIG), OWN.replace('oom_score = -7\n', IMPORTS));
      await node.must(`rm ${CONFIG}`);
      t.equal((await node.install(UPGRADE)).status, 0);
      t.equal(await node.read(CONFIG), `version = 2\n${IMPORTS}`);

      await node.must(
        'ctr tasks kill --signal SIGKILL long; until ctr tasks ls | grep -q STOPPED; do sleep 0.1; done; ctr tasks rm long; ctr containers rm long',
      );
      await until('the mount is gone', async () => (await node.must('grep -c " fuse.plyfs " /proc/mounts || true')) === '0\n', 60_000);
      const [, removal = ''] =
        /^```\n(# On the node.*?)^```$/ms.exec(fs.readFileSync(path.join(REPOSITORY, 'docs/kubernetes.md'), 'utf8')) ?? [];
      t.match(removal, /systemctl/);
      await node.must(removal);
      t.not((await node.run(probe)).status, 0, 'the probe, without a plyd');
      t.equal(
        await node.must('ls -d /opt/plyfs /etc/systemd/system/plyd* /etc/containerd/conf.d/* /var/lib/ply/* 2>/dev/null || true'),
        '',
      );
      await until(
        'the end of the engines',
        async () => (await node.must('readlink /proc/[0-9]*/exe | grep -c ^/opt/plyfs/ || true')) === '0\n',
        60_000,
      );
    } catch (error) {
      t.comment(await node.logs().catch(() => ''));
      throw error;
    } finally {
      await node.end();
      await removeDirectory(base);
    }
  },
);

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));
