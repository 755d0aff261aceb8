import * as fs from 'node:fs';
import { join } from 'node:path';
import { availableParallelism } from 'node:os';
import t from 'tap';
import { ADDON, E, inChild, native, workDirectory } from './support';

const statusOf = (task: string, field: string) =>
  new RegExp(`^${field}:\\s+(.*)$`, 'm').exec(fs.readFileSync(`/proc/${task}/status`, 'latin1'))?.[1];

t.test('mount and umount take paths that are bytes', (t) => {
  const { path } = workDirectory(t);
  const target = Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0xff, 0x20])]);
  fs.mkdirSync(target);
  const NOSUID = 2,
    NODEV = 4,
    DETACH = 2;
  t.equal(native.mount('plyfs-test', target, 'tmpfs', NOSUID | NODEV, 'size=1m,mode=0711'), 0);
  t.teardown(() => native.umount(target, DETACH));
  t.equal(fs.statSync(target).mode & 0o7777, 0o711);
  t.match(fs.readFileSync('/proc/self/mounts', 'latin1'), /plyfs-test .* tmpfs rw,nosuid,nodev,/);
  t.equal(native.umount(target, 0), 0);
  t.equal(native.umount(target, 0), -E.EINVAL, 'no longer a mount point');
  t.equal(native.mount('x', target, 'no-such-type', 0, ''), -E.ENODEV);
  t.equal(native.mount('x', Buffer.from(join(path, 'none')), 'tmpfs', 0, ''), -E.ENOENT);
  t.end();
});

t.test('a thread is pinned to one CPU and let go again', (t) => {
  const allowed = () => statusOf('thread-self', 'Cpus_allowed_list');
  const before = allowed();
  const cpu = Number(/\d+/.exec(before!)![0]);
  t.equal(native.pinThread(cpu), 0);
  t.equal(allowed(), String(cpu));
  t.equal(native.pinThread(-1), 0);
  t.equal(allowed(), before);
  t.equal(native.pinThread(-2), -E.EINVAL);
  t.equal(native.pinThread(8191), -E.EINVAL, 'a CPU that is not there');
  t.equal(native.pinThread(8192), -E.EINVAL);
  t.end();
});

t.test('a thread asks for a short time slice', (t) => {
  t.equal(native.timeSlice(100), 0);
  const slice = /^se\.slice\s*:\s*(\d+)$/m.exec(fs.readFileSync('/proc/thread-self/sched', 'utf8'));
  if (slice !== null) t.equal(slice[1], '100000', 'nanoseconds, where the kernel has it');
  t.equal(native.timeSlice(0), -E.EINVAL);
  t.equal(native.timeSlice(-1), -E.EINVAL);
  t.equal(native.timeSlice(1000), 0);
  t.end();
});

t.test('a thread is lowered, and is as before', (t) => {
  const policy = (): string | undefined => /^policy\s*:\s*(\d+)$/m.exec(fs.readFileSync('/proc/thread-self/sched', 'utf8'))?.[1];
  const before = policy();
  t.equal(native.lowerThread(1), 0);
  t.equal(policy(), before === undefined ? undefined : '5', 'SCHED_IDLE');
  t.equal(native.lowerThread(0), 0);
  t.equal(policy(), before);
  t.end();
});

t.test('the CPU of a thread, whatever it calls itself', (t) => {
  const name = fs.readFileSync('/proc/self/comm', 'utf8').trim();
  for (const called of [name, 'a) S 1 (b 2) 3']) {
    fs.writeFileSync('/proc/self/comm', called);
    for (let cpu = 0; cpu < availableParallelism() && native.pinThread(cpu) === 0; cpu++) t.equal(native.threadCpu(process.pid), cpu);
    t.equal(native.pinThread(-1), 0);
  }
  fs.writeFileSync('/proc/self/comm', name);
  t.equal(native.threadCpu(2 ** 30), -E.ENOENT, 'nobody');
  t.end();
});

t.test('a thread has a name, of 15 bytes', (t) => {
  const before = statusOf('thread-self', 'Name')!;
  t.equal(native.nameThread('a-name-longer-than-that'), 0);
  t.equal(statusOf('thread-self', 'Name'), 'a-name-longer-t');
  t.equal(native.nameThread('x'.repeat(500)), 0);
  t.equal(native.nameThread(before), 0);
  t.end();
});

t.test('umask is set and the old one returned', (t) => {
  const before = parseInt(statusOf('self', 'Umask')!, 8);
  t.equal(native.umask(0o027), before);
  t.equal(native.umask(before), 0o027);
  t.end();
});

t.test('the soft limit of descriptors is raised to the hard one', (t) => {
  const hard = Number(/Max open files\s+\d+\s+(\d+)/.exec(fs.readFileSync('/proc/self/limits', 'latin1'))![1]);
  t.equal(native.raiseFileLimit(), Math.min(hard, 2 ** 31 - 1));
  t.match(fs.readFileSync('/proc/self/limits', 'latin1'), new RegExp(`Max open files\\s+${hard}\\s+${hard}`));
  t.end();
});

t.test('the table of descriptors grows at once, without a wait for whoever opens files meanwhile', (t) => {
  const child = inChild(
    `const size = () => Number(/FDSize:\\s+(\\d+)/.exec(require('node:fs').readFileSync('/proc/self/status', 'latin1'))[1]);
     const before = size();
     console.log(native.growFileTable(0), native.growFileTable(4096));
     const end = Date.now() + 10000;
     const look = () => size() === before && Date.now() < end ? setTimeout(look, 5) : console.log(before < 4096, size(), require('node:fs').readdirSync('/proc/self/fd').length < 100);
     look();`,
  );
  t.equal(child.stdout, `${-E.EINVAL} 0\ntrue 4096 true`);
  t.end();
});

t.test('exitNow ends the process without further ado', (t) => {
  const child = inChild(`process.on('exit', () => console.log('not seen')); native.exitNow(42);`);
  t.same([child.status, child.stdout], [42, '']);
  const stuck = inChild(
    `const { Worker } = require('node:worker_threads');
     native.arenaCreate(1);
     new Worker('require(' + JSON.stringify(${JSON.stringify(ADDON)}) + ').futexWait(0, 0, -1)', { eval: true });
     setTimeout(() => native.exitNow(43), 200);`,
  );
  t.equal(stuck.status, 43, 'a worker in a system call does not hold it up');
  t.end();
});

t.test('exec keeps the standard streams', (t) => {
  t.match(inChild(`native.exec(['sh', '-c', 'echo out; echo error >&2; exit 3'])`), { status: 3, stdout: 'out', stderr: 'error\n' });
  t.equal(native.exec(['/nowhere/plyfs-none']), -E.ENOENT);
  t.end();
});

t.test('closeOnExecFrom: no child gets the rest, and it stays open here', (t) => {
  const child = inChild(
    `const fs = require('node:fs');
     const fds = [0, 0, 0].map(() => native.eventfd());
     for (const fd of fds) native.closeOnExec(fd, 0);
     const marked = native.closeOnExecFrom(fds[1]);
     const { stdout } = require('node:child_process').spawnSync('ls', ['/proc/self/fd'], { encoding: 'utf8' });
     const seen = fds.map((fd) => stdout.split('\\n').includes(String(fd)));
     fs.writeSync(1, JSON.stringify([marked, ...seen, ...fds.map((fd) => native.eventfdSignal(fd))]));`,
  );
  t.equal(child.stdout, JSON.stringify([0, true, false, false, 0, 0, 0]));
  t.equal(native.closeOnExecFrom(-1), -E.EINVAL);
  t.end();
});
