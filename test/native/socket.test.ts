import * as fs from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ADDON, E, inChild, native, O, opened, workDirectory } from './support';

type Message = Exclude<ReturnType<typeof native.receiveMessage>, number | undefined>;

function pair(t: Test): [number, number] {
  const fds = new Int32Array(2);
  if (native.socketpair(fds) !== 0) throw new Error('socketpair');
  return [opened(t, fds[0]), opened(t, fds[1])];
}

const openFds = () => fs.readdirSync('/proc/self/fd').length;

t.test('descriptors travel with a message and arrive close-on-exec', (t) => {
  const [a, b] = pair(t);
  const { path } = workDirectory(t);
  fs.writeFileSync(join(path, 'f'), 'through the socket');
  const file = fs.openSync(join(path, 'f'), 'r');
  t.equal(native.sendMessage(a, Buffer.from([0, 255, 7]), [file, file]), 3);
  fs.closeSync(file);
  const message = native.receiveMessage(b, 100) as Message;
  t.same(message.data, Buffer.from([0, 255, 7]));
  t.equal(message.fds.length, 2);
  for (const fd of message.fds) {
    t.equal(fs.readFileSync(`/proc/self/fd/${fd}`, 'latin1'), 'through the socket');
    t.match(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'), /flags:\s+02/);
    t.equal(native.close(fd), 0);
  }
  t.equal(native.sendMessage(b, Buffer.from('back'), []), 4);
  t.same(native.receiveMessage(a, 4), { data: Buffer.from('back'), fds: [] });
  t.end();
});

t.test('250 descriptors are the most', (t) => {
  const [a, b] = pair(t);
  const before = openFds();
  t.equal(native.sendMessage(a, Buffer.from('x'), Array<number>(250).fill(a)), 1);
  const message = native.receiveMessage(b, 10) as Message;
  t.equal(message.fds.length, 250);
  t.equal(new Set(message.fds).size, 250);
  message.fds.forEach((fd) => native.close(fd));
  t.equal(openFds(), before);
  t.equal(native.sendMessage(a, Buffer.from('x'), Array<number>(251).fill(a)), -E.EINVAL);
  t.equal(native.sendMessage(a, Buffer.from('x'), Array<number>(1e6).fill(a)), -E.EINVAL);
  t.equal(native.sendMessage(a, Buffer.from('x'), [-1]), -E.EBADF);
  t.equal(native.sendMessage(a, Buffer.alloc(0), []), -E.EINVAL);
  t.end();
});

t.test('a truncated message is -EMSGSIZE, and its descriptors do not stay', (t) => {
  const [a, b] = pair(t);
  const before = openFds();
  native.sendMessage(a, Buffer.alloc(100), [a, b, a]);
  t.equal(native.receiveMessage(b, 99), -E.EMSGSIZE);
  t.equal(openFds(), before);
  native.sendMessage(a, Buffer.from('next'), []);
  t.same(native.receiveMessage(b, 99), { data: Buffer.from('next'), fds: [] });
  t.end();
});

t.test('the end of the file is undefined, a gone peer an errno and no signal', (t) => {
  const fds = new Int32Array(2);
  native.socketpair(fds);
  native.sendMessage(fds[0], Buffer.from('last'), []);
  native.close(fds[0]);
  t.same(native.receiveMessage(fds[1], 10), { data: Buffer.from('last'), fds: [] });
  t.equal(native.receiveMessage(fds[1], 10), undefined);
  t.equal(native.sendMessage(fds[1], Buffer.from('x'), []), -E.EPIPE);
  native.close(fds[1]);
  t.equal(native.receiveMessage(fds[1], 10), -E.EBADF);
  t.equal(native.receiveMessage(opened(t, native.eventfd()), 10), -E.ENOTSOCK);
  t.end();
});

t.test('the peer is known', (t) => {
  const [a] = pair(t);
  t.same(native.peerCredentials(a), { pid: process.pid, uid: process.getuid!(), gid: process.getgid!() });
  t.equal(native.peerCredentials(-1), -E.EBADF);
  t.equal(native.peerCredentials(opened(t, native.eventfd())), -E.ENOTSOCK);
  t.end();
});

t.test('a descriptor reaches another process', (t) => {
  const [a, b] = pair(t);
  const { path, fd } = workDirectory(t);
  t.equal(native.sendMessage(a, Buffer.from('directory'), [fd]), 9);
  const child = inChild(
    `const { data, fds } = native.receiveMessage(3, 100);
     require('node:fs').mkdirSync('/proc/self/fd/' + fds[0] + '/made');
     print([data.toString(), native.peerCredentials(3).pid]);`,
    ADDON,
    [b],
  );
  t.equal(child.stdout, JSON.stringify(['directory', process.pid]), child.stderr);
  t.ok(fs.statSync(join(path, 'made')).isDirectory());
  t.end();
});

t.test('a socket in nonblocking mode says so', (t) => {
  const [a] = pair(t);
  const watch = native.watchReadable(a, () => undefined); // uv_poll makes it nonblocking
  watch.stop();
  t.equal(native.receiveMessage(a, 10), -E.EAGAIN);
  t.equal(O.O_NONBLOCK & parseInt(/flags:\s+(\d+)/.exec(fs.readFileSync(`/proc/self/fdinfo/${a}`, 'latin1'))![1], 8), O.O_NONBLOCK);
  t.end();
});

t.test('a datagram goes to a path or an abstract name; what is wrong with the address is said', (t) => {
  const { path } = workDirectory(t);
  const data = Buffer.from('READY=1');
  t.equal(native.sendDatagram(Buffer.from(join(path, 'nobody')), data), -E.ENOENT);
  t.equal(native.sendDatagram(Buffer.from('@plyfs-nobody-listens-here'), data), -E.ECONNREFUSED);
  t.equal(native.sendDatagram(Buffer.from(`/${'x'.repeat(107)}`), data), -E.ENAMETOOLONG);
  t.equal(native.sendDatagram(Buffer.from(`@${'x'.repeat(108)}`), data), -E.ENAMETOOLONG);
  t.equal(native.sendDatagram(Buffer.alloc(0), data), -E.EINVAL);
  t.equal(native.sendDatagram(Buffer.from('/x'), Buffer.alloc(0)), -E.EINVAL);
  t.end();
});

t.test('socketKind tells what a socket is', (t) => {
  const [a] = pair(t);
  t.equal(native.socketKind(a), 1, 'a Unix socket, SOCK_SEQPACKET, connected');
  t.equal(native.socketKind(-1), -E.EBADF);
  t.equal(native.socketKind(opened(t, native.eventfd())), -E.ENOTSOCK);
  t.end();
});

t.test('closeOnExec is switched off and on', (t) => {
  const fd = opened(t, native.eventfd());
  const flags = (): string => /flags:\s+(\d+)/.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))![1];
  const on = flags();
  t.equal(native.closeOnExec(fd, 0), 0);
  t.not(flags(), on);
  t.equal(native.closeOnExec(fd, 1), 0);
  t.equal(flags(), on);
  t.equal(native.closeOnExec(-1, 1), -E.EBADF);
  t.end();
});
