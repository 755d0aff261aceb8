import { constants } from 'node:os';
import type { Client } from '../../client/client';
import { PlyError } from '../../client/errors';
import type { ImageDetail } from '../../daemon/api/types';
import { UsageError } from '../errors';
import { shortId } from '../format';
import type { Output } from '../output';
import { checkMounted } from '../run/mounted';
import { namespacesOf } from '../run/namespaces';
import { enclosing } from '../run/place';
import { runInside } from '../run/process';
import { settings } from '../run/settings';
import type { Arguments, Verb } from '../verb';

/** ply's own failures, as with docker: a command's are its own. */
const FAILED = 125;
/** A mount that is in use no more is so a moment after the last process has ended. */
const STOP_ATTEMPTS = 20;
const STOP_PAUSE_MS = 50;

export const verb: Verb = {
  usage: ['run [OPTIONS] IMAGE [CMD [ARG…]]'],
  about:
    'Creates a container, mounts it, and runs a command in it, in PID, mount, IPC and UTS namespaces of its own; removes the container when the command has ended. The command, environment, working directory and user are those of the image, unless you say others.',
  words: { min: 1, max: Infinity, names: 'an IMAGE' },
  stopsAtWords: true,
  options: {
    name: { alias: 'n', type: 'string', requiresArg: true, describe: 'a name for the container (one is made up)' },
    keep: { type: 'boolean', describe: 'keep the container, stopped, when the command has ended' },
    rm: { type: 'boolean', describe: 'remove it: what is done anyway' },
    e: {
      alias: 'env',
      type: 'string',
      array: true,
      requiresArg: true,
      describe: 'NAME=VALUE of the environment; NAME: with the value it has here',
    },
    w: { alias: 'workdir', type: 'string', requiresArg: true, describe: 'the working directory' },
    u: { alias: 'user', type: 'string', requiresArg: true, describe: 'USER or USER:GROUP, names of the container or numbers' },
    entrypoint: { type: 'string', requiresArg: true, describe: "a program instead of the image's Entrypoint and Cmd" },
    hostname: { type: 'string', requiresArg: true, describe: "the host's name in there (the container's id)" },
    chroot: { type: 'boolean', describe: 'by unshare and chroot instead of bubblewrap: setuid programs and all capabilities' },
    o: { alias: 'options', type: 'string', array: true, requiresArg: true, describe: 'options for its mount, as of `plyfs -o`' },
  },
  examples: [
    ['run debian', "the image's own command"],
    ['run debian sh -c "apt-get update && apt-get upgrade"', 'another one'],
    ['run -e DEBUG=1 -w /srv -u www-data web ./serve', 'as somebody, somewhere'],
    ['run --keep --name build debian make && ply diff build', 'look at what it wrote'],
  ],
  notes: `Options end at the IMAGE: what follows is the command's. It gets /proc, a minimal /dev, a read-only /sys, an empty
/tmp, and the network of this machine. Signals that ply gets go to the command.
Exit status: that of the command, 128 and the number of the signal that ended it; 127 there is no such command,
126 it cannot be executed, 125 ply itself failed.`,
  async run(args, daemon, output) {
    if (args.flag('keep') && args.flag('rm')) throw new UsageError('--keep and --rm: which of the two?');
    try {
      const image = await daemon.images.get(args.word(0));
      output.status = await runImage(image, args, daemon, output);
    } catch (error) {
      output.fail(error);
      output.status = FAILED;
    }
  },
};

async function runImage(image: ImageDetail, args: Arguments, daemon: Client, output: Output): Promise<number> {
  const [imageName, ...command] = args.words;
  const [name, hostname] = ['name', 'hostname'].map((option) => args.text(option));
  const asked = { command, entrypoint: args.text('entrypoint'), env: args.texts('e'), workingDir: args.text('w'), user: args.text('u') };
  const options = args.texts('o').join(',');
  settings(imageName, image.config, { ...asked, hostname: '' }); // what makes no sense is said before anything is made
  const removal = new Removal(daemon, args.flag('keep'));
  try {
    const made = await daemon.containers.create({
      image: image.id,
      ...(name !== undefined && { name }),
      ...(options !== '' && { options }),
    });
    removal.container = made.id;
    removal.checkInterrupted();
    await daemon.containers.start(made.id);
    removal.checkInterrupted();
    const root = (await daemon.containers.get(made.id)).graphDriver.data.mergedDir;
    const namespaces = await namespacesOf(daemon);
    if (namespaces === undefined) await checkMounted(made.name, root);
    const host = hostname ?? shortId(made.id);
    const place = { root, hostname: host, namespaces, chroot: args.flag('chroot') };
    removal.checkInterrupted();
    return await runInside(enclosing(place), settings(imageName, image.config, { ...asked, hostname: host }));
  } catch (error) {
    if (error instanceof Interrupted) return error.status;
    throw error;
  } finally {
    await removal.now().catch((error: unknown) => output.fail(error));
  }
}

/** We were told to end before the command ran. */
class Interrupted extends Error {
  constructor(readonly status: number) {
    super('interrupted');
  }
}

/** The end of the container, whatever comes before its command. Once that runs, signals are the command's (runInside). */
class Removal {
  container: string | undefined;
  private interrupted: number | undefined;

  constructor(
    private readonly daemon: Client,
    private readonly keep: boolean,
  ) {
    process.removeAllListeners('SIGINT');
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => this.interrupt(128 + constants.signals[signal]));
  }

  /** The second time it cannot wait. */
  private interrupt(status: number): void {
    if (this.interrupted !== undefined) process.exit(status);
    this.interrupted = status;
  }

  checkInterrupted(): void {
    if (this.interrupted !== undefined) throw new Interrupted(this.interrupted);
  }

  async now(): Promise<void> {
    const id = this.container;
    if (id === undefined) return;
    if (this.keep) await this.stop(id);
    else await this.daemon.containers.remove(id, { force: true });
  }

  private async stop(id: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.daemon.containers.stop(id, { lazy: attempt === STOP_ATTEMPTS });
        return;
      } catch (error) {
        if (!(error instanceof PlyError) || error.code !== 'busy' || attempt === STOP_ATTEMPTS) throw error;
        await new Promise((resolve) => setTimeout(resolve, STOP_PAUSE_MS));
      }
    }
  }
}
