/**
 * The mount helper: mounts, hands the mount to who serves it (daemon/mounts/share.ts), and ends when the mount is usable. podman, buildah and mount(8) call it
 * (clients.md). The caller may wait for the end of our standard error, so nothing that stays behind may hold it open.
 *
 * Its start-up time is part of every container's: nothing is loaded here that is not needed.
 */
import fs from 'node:fs';
import { join } from 'node:path';
import { type How, OwnMount } from '../daemon/mounts/mount';
import { furtherOptions, isRemount, OptionError, parseOptions, shown } from '../daemon/mounts/options';
import { remount } from '../daemon/mounts/remount';
import { usualSocket } from '../daemon/runtime';
import { type Arguments, HELP, parseArguments, UsageError } from './arguments';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** The arguments as byte strings: process.argv has lost what is not UTF-8. */
function rawArguments(): string[] {
  const words = process.argv.slice(2);
  if (!words.some((word) => word.includes('\ufffd'))) return words.map((word) => Buffer.from(word).toString('latin1'));
  const all = fs.readFileSync('/proc/self/cmdline', 'latin1').split('\0').slice(0, -1);
  return all.slice(all.length - words.length);
}

function version(): string {
  const file = join(__dirname, '..', '..', 'package.json');
  return (JSON.parse(fs.readFileSync(file, 'utf8')) as { version: string }).version;
}

function say(text: string): void {
  fs.writeSync(2, `plyfs: ${text}\n`);
}

function openLog(args: Arguments): number | undefined {
  if (args.log === undefined) return args.foreground ? 2 : undefined;
  try {
    return fs.openSync(Buffer.from(args.log, 'latin1'), 'a', 0o640);
  } catch (error) {
    throw new OptionError(`cannot open the log file ${shown(args.log)}: ${(error as Error).message}`);
  }
}

async function mount(args: Arguments): Promise<number> {
  if (isRemount(args.options)) {
    if (!args.fake) remount(args.target, args.options);
    return 0;
  }
  const options = parseOptions(args.options);
  if (args.fake) return 0;
  if (args.debug) options.logLevel = 'debug';
  const log = openLog(args);
  const socket = process.env['PLY_SOCKET'] || usualSocket(process.env);
  const how: How = {
    foreground: args.foreground,
    further: furtherOptions(args.options),
    ...(log !== undefined && { log }),
    ...(socket !== undefined && { socket }),
  };

  let begun: OwnMount | undefined;
  const interrupted = (signal: NodeJS.Signals): void => {
    begun?.abandon();
    if (!args.foreground) process.exit(1);
    else if (begun === undefined) process.exit(1);
    else if (signal === 'SIGHUP') say('the terminal is gone: unmounting');
  };
  for (const signal of SIGNALS) process.on(signal, interrupted);

  const mounted = await OwnMount.make(options, args.source, args.target, how, (started) => (begun = started));
  if (args.foreground) {
    const ended = await mounted.ended;
    if (ended !== 0) say(`the engine ended with ${typeof ended === 'number' ? `status ${ended}` : ended}`);
    return ended === 0 ? 0 : 1;
  }
  mounted.leave();
  return 0;
}

async function main(): Promise<number> {
  const args = parseArguments(rawArguments());
  if (args.action === 'help') fs.writeSync(1, HELP);
  else if (args.action === 'version') fs.writeSync(1, `plyfs ${version()}\n`);
  else return mount(args);
  return 0;
}

main().then(
  (status) => process.exit(status),
  (error: unknown) => {
    if (error instanceof UsageError) {
      say(`${shown(error.message)}\nTry \`plyfs --help\`.`);
      process.exit(2);
    }
    say(error instanceof Error ? error.message : String(error));
    process.exit(1);
  },
);
