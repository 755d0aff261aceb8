/** A command in its namespaces: from ply-enter's start to its end, with the signals that come to us. */
import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import path from 'node:path';
import { PlyError } from '../../client/errors';
import type { Settings } from './settings';

const PROGRAM = path.join(__dirname, '..', '..', 'bin', 'ply-enter');
const FORWARDED = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;
/** A terminal sends these to all of its foreground processes, so the command has had them. */
const FROM_TERMINALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGHUP'];

/** Runs it with our own standard streams and terminal; resolves with its status. `enclosing` is the command line that makes the namespaces. */
export async function runInside(enclosing: readonly string[], { command, env, workingDir, user }: Settings): Promise<number> {
  const enter = fs.openSync(PROGRAM, 'r');
  let child: ChildProcess;
  try {
    const [name, ...args] = [...enclosing, ...command];
    // A clean environment: that of the command is not that of the programs that build its namespaces.
    child = spawn(name, args, {
      stdio: ['inherit', 'inherit', 'inherit', enter, 'pipe'],
      cwd: '/',
      env: { PATH: process.env['PATH'] ?? '' },
    });
  } finally {
    fs.closeSync(enter);
  }
  const control = child.stdio[4] as Socket;
  let entered = false;
  control.on('data', () => (entered = true));
  control.on('error', () => undefined); // it has ended
  const given = Buffer.from(`${[user, workingDir, ...env].join('\0')}\0`);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(given.length);
  control.write(Buffer.concat([length, given]));
  const stop = forward(control);
  try {
    const status = await ended(child);
    if (!entered) throw new PlyError({ code: 'failed', message: `the container's namespaces could not be made (status ${status})` });
    return status;
  } finally {
    stop();
    control.destroy();
  }
}

function ended(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new PlyError({ code: 'failed', message: `cannot run ${child.spawnfile}: ${error.message}` })));
    child.on('exit', (status, signal) => resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}

/** From now until what it returns is called, signals are the command's. */
function forward(control: Socket): () => boolean {
  let over = false; // then they do not keep the container from being removed
  for (const signal of FORWARDED) {
    process.removeAllListeners(signal);
    process.on(signal, () => {
      if (over || (FROM_TERMINALS.includes(signal) && isInForeground())) return;
      control.write(Uint8Array.of(constants.signals[signal]));
    });
  }
  return () => (over = true);
}

/** Are we in the foreground process group of our terminal? */
function isInForeground(): boolean {
  const [, , group, , , foreground] = fs
    .readFileSync('/proc/self/stat', 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  return group === foreground;
}
