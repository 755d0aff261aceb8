// A real mount, spoken to by hand: the server runs in a process of its own with a time limit (`serve`), the test looks at what it reports.
import { spawn, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { E, EMPTY, memory, native, O, O_PATH, opened, put, room, workDirectory } from './support';

const MNT_DETACH = 2;
const CAPACITY = 1 << 18;
const GETATTR = 3,
  STATFS = 17,
  INIT = 26,
  STATX = 52;
const PASSTHROUGH = 2 ** 5; // bit 37, in flags2
const INIT_EXT = 2 ** 30;

/** Writes a reply at `at`: out_header, then the body. Its length. */
function reply(at: number, unique: bigint, error: number, body: Buffer = Buffer.alloc(0)): number {
  memory.writeUInt32LE(16 + body.length, at);
  memory.writeInt32LE(error, at + 4);
  memory.writeBigUInt64LE(unique, at + 8);
  memory.set(body, at + 16);
  return 16 + body.length;
}

/** Our answer to INIT; passthrough when the kernel offers it. */
function initBody(request: number): [body: Buffer, passthrough: boolean] {
  const length = memory.readUInt32LE(request);
  const offered = length >= 40 + 20 ? memory.readUInt32LE(request + 40 + 16) & PASSTHROUGH : 0;
  const body = Buffer.alloc(64);
  body.writeUInt32LE(7, 0);
  body.writeUInt32LE(memory.readUInt32LE(request + 44), 4);
  body.writeUInt32LE(offered ? INIT_EXT : 0, 12);
  body.writeUInt32LE(1 << 17, 20);
  body.writeUInt32LE(offered, 32);
  body.writeUInt32LE(offered ? 1 : 0, 36);
  return [body, offered !== 0];
}

function rootAttributes(): Buffer {
  const body = Buffer.alloc(104);
  body.writeBigUInt64LE(1n, 16);
  body.writeUInt32LE(0o40755, 16 + 60);
  body.writeUInt32LE(2, 16 + 64);
  body.writeUInt32LE(4711, 16 + 68);
  return body;
}

/** What is done with a mounted device; every step's result goes into the report. */
async function serve(mountPoint: string): Promise<void> {
  const report: Record<string, unknown> = {};
  const inbox = room(CAPACITY),
    outbox = room(4096),
    status = room(8),
    pairs = room(64);
  const device = native.fuseOpen();
  report['before mount'] = native.recv(device, inbox, CAPACITY);
  const options = `fd=${device},rootmode=40000,user_id=0,group_id=0,allow_other`;
  report['mount'] = native.mount('plyfs-test', Buffer.from(mountPoint), 'fuse.plyfs-test', 0, options);
  report['small buffer'] = native.recv(device, inbox, 100);
  const length = native.recv(device, inbox, CAPACITY);
  report['INIT'] = [length === memory.readUInt32LE(inbox), memory.readUInt32LE(inbox + 4) === INIT];
  const [body, passthrough] = initBody(inbox);
  memory.writeInt32LE(77, status);
  const size = reply(outbox, memory.readBigUInt64LE(inbox + 8), 0, body);
  report['sendRecv'] = [native.sendRecv(device, outbox, size, inbox, CAPACITY, status), memory.readInt32LE(status)];
  report['unknown unique'] = [
    native.sendRecv(device, outbox, reply(outbox, 0x7777n, 0), inbox, CAPACITY, status),
    memory.readInt32LE(status),
    native.send(device, outbox, reply(outbox, 0x7778n, 0)),
  ];
  memory.writeInt32LE(77, status);
  report['only recv'] = [native.sendRecv(device, outbox, 0, inbox, CAPACITY, status), memory.readInt32LE(status)];
  report['unknown notification'] = native.send(device, outbox, reply(outbox, 0n, 99));
  report['torn reply'] = native.send(device, outbox, 10);

  const clone = native.fuseClone(device);
  report['clone'] = [clone >= 0, native.fuseClone(0), native.fuseClone(-1), native.recv(clone, inbox, CAPACITY)];
  report['backing'] = passthrough ? backings(device) : 'no passthrough';

  const epoll = native.epollCreate();
  const channels = [device, clone];
  channels.forEach((fd, tag) => native.epollAdd(epoll, fd, 1 | (1 << 28), tag));
  const asked = spawn('stat', ['-c', '%u %a', mountPoint], { stdio: ['ignore', 'pipe', 'inherit'] });
  let answer = '';
  let ended = false;
  asked.stdout.on('data', (data: Buffer) => (answer += data.toString()));
  asked.on('close', () => (ended = true));
  while (!ended) {
    const ready = native.epollWait(epoll, pairs, 8, 5);
    for (let i = 0; i < ready; i++) {
      const fd = channels[memory.readUInt32LE(pairs + 8 * i)];
      if (native.recv(fd, inbox, CAPACITY) < 40) continue;
      const opcode = memory.readUInt32LE(inbox + 4),
        unique = memory.readBigUInt64LE(inbox + 8);
      const known = opcode === GETATTR;
      native.send(fd, outbox, reply(outbox, unique, known ? 0 : -E.ENOSYS, known ? rootAttributes() : undefined));
      if (![GETATTR, STATFS, STATX].includes(opcode)) report[`request ${opcode}`] = true;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  report['stat'] = answer.trim();
  report['umount'] = native.umount(Buffer.from(mountPoint), MNT_DETACH);
  report['unmounted'] = [native.recv(device, inbox, CAPACITY), native.recv(clone, inbox, CAPACITY)];
  console.log(JSON.stringify(report));
  native.exitNow(0);
}

/** Registering files for passthrough: by descriptor and by name; what is none is refused. */
function backings(device: number): unknown {
  const here = native.openHost(put(__dirname), O_PATH | O.O_DIRECTORY, 0);
  const name = put('device.test.js');
  const fd = native.openat(here, name, O_PATH, 0);
  const ids = [native.backingOpen(device, fd), native.backingOpenAt(device, here, name)];
  return [
    ids.every((id) => id > 0),
    ids[0] !== ids[1],
    ...ids.map((id) => native.backingClose(device, id)),
    native.backingClose(device, ids[0]),
    native.backingOpen(device, -1),
    native.backingOpenAt(device, here, put('none')),
    native.backingOpenAt(device, here, put('.')) < 0,
  ];
}

if (process.argv[2] === 'serve') {
  void serve(process.argv[3]);
} else {
  const canMount = process.getuid!() === 0 && fs.existsSync('/dev/fuse');

  t.test('a mount is served through the device and its clone', { skip: !canMount && 'needs root and /dev/fuse' }, (t) => {
    const { path } = workDirectory(t);
    const mountPoint = join(path, 'mnt');
    fs.mkdirSync(mountPoint);
    t.teardown(() => native.umount(Buffer.from(mountPoint), MNT_DETACH));
    const server = spawnSync(process.execPath, [__filename, 'serve', mountPoint], {
      encoding: 'utf8',
      timeout: 30_000,
      killSignal: 'SIGKILL',
    });
    t.equal(server.status, 0, `${server.stderr} ${server.signal ?? ''}`);
    const report = JSON.parse(server.stdout) as Record<string, unknown>;
    t.equal(report['before mount'], -E.EPERM);
    t.equal(report['mount'], 0);
    t.equal(report['small buffer'], -E.EINVAL, 'the kernel wants a buffer for its largest request');
    t.same(report['INIT'], [true, true]);
    t.same(report['sendRecv'], [-E.EAGAIN, 0], 'the reply is accepted, no request waits');
    t.same(report['unknown unique'], [-E.EAGAIN, -E.ENOENT, -E.ENOENT]);
    t.same(report['only recv'], [-E.EAGAIN, 0]);
    t.equal(report['unknown notification'], -E.EINVAL);
    t.equal(report['torn reply'], -E.EINVAL);
    t.same((report['clone'] as unknown[])[0], true);
    t.ok(((report['clone'] as number[])[1] ?? 0) < 0, 'only a FUSE device can be cloned');
    t.ok(((report['clone'] as number[])[2] ?? 0) < 0);
    t.equal((report['clone'] as unknown[])[3], -E.EAGAIN);
    if (report['backing'] === 'no passthrough') t.pass('this kernel has no passthrough', { skip: true });
    else t.same(report['backing'], [true, true, 0, 0, -E.ENOENT, -E.EBADF, -E.ENOENT, true]);
    t.equal(report['stat'], '4711 755');
    t.equal(report['umount'], 0);
    t.same(report['unmounted'], [-E.ENODEV, -E.ENODEV]);
    t.end();
  });

  t.test('what is no FUSE device is refused', (t) => {
    const event = opened(t, native.eventfd());
    t.ok(native.backingOpen(event, event) < 0);
    t.ok(native.backingClose(event, 1) < 0);
    t.equal(native.recv(-1, room(8), 8), -E.EBADF);
    t.equal(native.send(-1, room(8), 8), -E.EBADF);
    const status = room(8);
    t.equal(native.sendRecv(-1, room(8), 8, room(8), 8, status), -E.EBADF);
    t.equal(memory.readInt32LE(status), -E.EBADF);
    t.equal(native.backingOpenAt(-1, 0, EMPTY), -E.ENOENT);
    t.end();
  });
}
