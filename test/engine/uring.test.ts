/**
 * A part of the tests once more over io_uring, which the whole run does without: whoever wants all of them has PLYFS_TEST_TRANSPORT=uring. The
 * switch is the machine's, so it is set for the time of this file only, by one run at a time.
 */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { hindrance } from '../../daemon/engine/transport.js';
import { TRANSPORT } from '../support/transport.js';

const PARAMETER = '/sys/module/fuse/parameters/enable_uring';
const LOCK = '/tmp/enable_uring.lock';

const FILES = ['engine/serving', 'engine/mounts', 'stress/together', 'conformance/read-only', 'plyd/statistics'];
const TARGETS = { PLYFS_CONFORMANCE_TARGETS: 'plyfs,plyfs-served' };

/** Waits until no other run has the switch; it is ours until the function that is returned has been called. */
async function lock(): Promise<() => Promise<void>> {
  const holder = spawn('flock', [LOCK, 'sh', '-c', 'echo ours; exec cat'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise<void>((resolve) => holder.on('exit', () => resolve()));
  await new Promise((resolve, reject) => {
    holder.stdout.once('data', resolve);
    holder.once('error', reject);
    holder.once('exit', () => reject(new Error('flock ended')));
  });
  return () => {
    holder.stdin.end();
    return ended;
  };
}

/** The switch as it was, or why it cannot be set. */
function switchOn(): { before: string } | { reason: string } {
  try {
    const before = fs.readFileSync(PARAMETER, 'latin1').trim();
    fs.writeFileSync(PARAMETER, 'Y');
    const reason = hindrance();
    if (reason === undefined) return { before };
    fs.writeFileSync(PARAMETER, before);
    return { reason };
  } catch (error) {
    return { reason: (error as Error).message };
  }
}

t.test('over io_uring', { skip: TRANSPORT === 'uring' && 'everything is' }, async (t) => {
  const unlock = await lock();
  const on = switchOn();
  try {
    if ('reason' in on) {
      t.pass('io_uring', { skip: `it cannot be had here: ${on.reason}` });
      return;
    }
    const env = { ...process.env, ...TARGETS, PLYFS_TEST_TRANSPORT: 'uring' };
    for (const file of FILES) {
      await t.spawn(process.execPath, ['--enable-source-maps', path.join(__dirname, '..', `${file}.test.js`)], { env }, file);
    }
  } finally {
    if ('before' in on) fs.writeFileSync(PARAMETER, on.before);
    await unlock();
  }
});
