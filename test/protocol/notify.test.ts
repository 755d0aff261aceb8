/** Every notification, byte by byte. */
import t from 'tap';
import { MAX_NOTIFICATION, Notifier, STORE_DATA } from '../../daemon/protocol/notify';
import { dump, hex, Memory, REPLY, SCRATCH } from './support';

t.test('notifications', (t) => {
  const memory = new Memory();
  const notifier = new Notifier(memory.buffer);
  memory.bytes.set(Buffer.from('name'), SCRATCH);
  const check = (name: string, length: number, expected: string): void => {
    t.strictSame(dump(memory.reply(length)), dump(hex(expected)), name);
    t.equal(memory.bytes[REPLY + length], memory.fill, 'and no more');
    memory.bytes.fill(memory.fill, REPLY, REPLY + 512);
  };

  check(
    'INVAL_INODE of all pages',
    notifier.invalInode(REPLY, 0xfffffffe, 0, 0, 0, 0),
    `28000000 02000000 0000000000000000           # len 40, INVAL_INODE, unique 0
    feffffff00000000                            # ino 2^32 - 2
    0000000000000000 0000000000000000           # off 0, len 0`,
  );
  check(
    'INVAL_INODE of attributes',
    notifier.invalInode(REPLY, 7, -1, -1, 0, 0),
    `28000000 02000000 0000000000000000           # len 40, INVAL_INODE, unique 0
    0700000000000000                            # ino 7
    ffffffffffffffff 0000000000000000           # off -1, len 0`,
  );
  check(
    'INVAL_ENTRY',
    notifier.invalEntry(REPLY, 7, SCRATCH, 4, 1),
    `25000000 03000000 0000000000000000           # len 37, INVAL_ENTRY, unique 0
    0700000000000000 04000000 01000000          # parent 7, namelen 4, flags EXPIRE_ONLY
    6e616d6500                                  # "name"`,
  );
  check(
    'DELETE',
    notifier.delete(REPLY, 7, 8, SCRATCH, 4),
    `2d000000 06000000 0000000000000000           # len 45, DELETE, unique 0
    0700000000000000 0800000000000000           # parent 7, child 8
    04000000 00000000                           # namelen 4, padding
    6e616d6500                                  # "name"`,
  );
  check(
    'RETRIEVE of nothing',
    notifier.retrieveNothing(REPLY, 7, 2, 0x40000000),
    `30000000 05000000 0000000000000000           # len 48, RETRIEVE, unique 0
    0200000000000040 0700000000000000           # notify_unique 2^62 + 2, nodeid 7
    0000000000000000 00000000 00000000          # offset 0, size 0, padding`,
  );
  check('RESEND', notifier.resend(REPLY), '10000000 07000000 0000000000000000 # len 16, RESEND, unique 0');

  memory.bytes.set(Buffer.from('data'), REPLY + STORE_DATA);
  check(
    'STORE',
    notifier.store(REPLY, 7, 1, 2, 4),
    `2c000000 04000000 0000000000000000           # len 44, STORE, unique 0
    0700000000000000 0100000002000000           # nodeid 7, offset 2^33 + 1
    04000000 00000000                           # size 4, padding
    64617461                                    # "data"`,
  );

  memory.bytes.fill(0x6e, SCRATCH, SCRATCH + 255);
  t.ok(notifier.delete(REPLY, 7, 8, SCRATCH, 255) <= MAX_NOTIFICATION, 'the longest has room');
  t.end();
});
