/**
 * Who serves what plyfs mounts: a plyd of our uid and user namespace if one answers, else the engine that all mounts of this uid and user namespace share
 * (design.md section 1). The first plyfs that needs such an engine starts it, and it ends with its last mount.
 *
 * All are met in the directory of plyd's socket: plyd at `<socket>.plyfs`, engines in `engines/`, which is ours alone. An engine's name says for whom
 * it is and what it can serve: the user namespace, the build of this program, the level (level.ts), and a number, for when one is full.
 */
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import type { MountRequest } from '../engine/control';
import { handoverSocket, userNamespace } from '../runtime';
import { EngineChannel, EngineDeclined, EngineGone } from './engine-channel';
import { EngineProcess, MAIN } from './engine-process';
import type { Exclusive } from './exclusive';
import { inTime, sleep } from './in-time';
import { meet, Nobody } from './meet';

type Wanted = Omit<MountRequest, 'type' | 'id'>;
type Outcome = 'served' | 'declined' | 'nobody';

/** Whoever takes longer to say hello hangs, and is passed over. */
const HELLO_MS = 2000;
/** For another plyfs to start an engine. */
const START_MS = 10_000;
/** So many engines of 255 mounts. */
const MOST_ENGINES = 16;

/** Resolves with whether it is served; if not, it is as it was. Rejects with EngineError; EngineGone: nobody can serve this mount any more, a new one may be. */
export async function handOver(wanted: Wanted, descriptors: readonly number[], socket: string): Promise<boolean> {
  if ((await ask(handoverSocket(socket), wanted, descriptors)) === 'served') return true;
  const directory = join(dirname(socket), 'engines');
  if (!isOursAlone(directory)) return false;
  const [, namespace = ''] = /\[(\d+)\]/.exec(userNamespace('self')) ?? [];
  const build = Math.floor(fs.statSync(MAIN).mtimeMs).toString(36);
  for (let number = 0; number < MOST_ENGINES; number++) {
    const path = join(directory, `${namespace}-${build}-${wanted.level}-${number}.sock`);
    if ((await askOrStart(path, wanted, descriptors)) === 'served') return true;
  }
  return false;
}

async function ask(path: string, wanted: Wanted, descriptors: readonly number[]): Promise<Outcome> {
  let channel: EngineChannel | undefined;
  try {
    const onEnd = (): void => {
      channel?.fail(new EngineGone('the engine has ended'));
    };
    channel = new EngineChannel(await meet(path, HELLO_MS), { onEnd });
    await inTime(channel.ask({ type: 'hello' }), HELLO_MS);
  } catch (error) {
    channel?.close();
    return error instanceof Nobody || error instanceof EngineGone ? 'nobody' : 'declined';
  }
  try {
    await channel.mount(wanted, descriptors);
    return 'served';
  } catch (error) {
    if (error instanceof EngineDeclined) return 'declined';
    throw error;
  } finally {
    channel.close();
  }
}

/** One plyfs at a time starts an engine; the others wait for it. */
async function askOrStart(path: string, wanted: Wanted, descriptors: readonly number[]): Promise<Outcome> {
  for (const end = Date.now() + START_MS; Date.now() < end;) {
    const outcome = await ask(path, wanted, descriptors);
    if (outcome !== 'nobody') return outcome;
    const lock = takeLock(`${path}.lock`);
    if (lock === undefined) {
      await sleep(20);
      continue;
    }
    try {
      const now = await ask(path, wanted, descriptors);
      if (now !== 'nobody') return now;
      await start(path, wanted, descriptors);
      return 'served';
    } finally {
      lock.release();
    }
  }
  return 'declined';
}

async function start(path: string, wanted: Wanted, descriptors: readonly number[]): Promise<void> {
  fs.rmSync(path, { force: true }); // of one that was killed
  const engine = new EngineProcess({ foreground: false, rendezvous: path, label: `user ${process.geteuid!()}` });
  try {
    await engine.mount(wanted, descriptors);
  } finally {
    engine.leave(); // if it serves nothing it ends
  }
}

/** undefined: another one has it. */
function takeLock(file: string): Exclusive | undefined {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- most plyfs find an engine, and need no lock
  const { Exclusive, Taken } = require('./exclusive') as typeof import('./exclusive');
  try {
    return Exclusive.take(file);
  } catch (error) {
    if (error instanceof Taken) return undefined;
    throw error;
  }
}

/** Nobody else may put an engine there, or reach ours. It is made if need be, and can be. */
function isOursAlone(directory: string): boolean {
  try {
    if (fs.mkdirSync(dirname(directory), { recursive: true }) !== undefined) fs.chmodSync(dirname(directory), 0o755); // as plyd has it
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    const { uid, mode } = fs.lstatSync(directory);
    return uid === process.geteuid!() && (mode & 0o170077) === 0o040000;
  } catch {
    return false; // a read-only or foreign /run: then there is nothing to share
  }
}
