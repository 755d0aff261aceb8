/**
 * ply, the client of plyd. Understands the command line, lets the verb do its work, and is the one place that turns what went wrong into words and
 * an exit status: 1 failed, 2 wrong command line. Its start-up time is part of every script that calls it: verbs are loaded when asked for.
 */
import fs from 'node:fs';
import path from 'node:path';
import { Client } from '../client/client';
import { understand, wantsJson } from './command-line';
import { Output, ReaderGone } from './output';

const INTERRUPTED = 130;

function version(): string {
  const file = path.join(__dirname, '..', '..', 'package.json');
  return (JSON.parse(fs.readFileSync(file, 'utf8')) as { version: string }).version;
}

async function main(): Promise<number> {
  const list = process.argv.slice(2);
  let output = new Output(wantsJson(list));
  try {
    const request = understand(list);
    if (request.action === 'run') output = new Output(request.args.flag('json')); // not that of a command in a container
    if (request.action === 'help') output.text(request.text);
    else if (request.action === 'version') {
      if (output.json) output.value({ version: version() });
      else output.text(`ply ${version()}\n`);
    } else await request.verb.run(request.args, new Client({ socket: request.socket }), output);
  } catch (error) {
    if (!(error instanceof ReaderGone)) output.fail(error);
  }
  return output.status;
}

process.on('SIGINT', () => process.exit(INTERRUPTED));

main().then(
  (status) => process.exit(status),
  (error: unknown) => {
    if (error instanceof ReaderGone) process.exit(0);
    throw error;
  },
);
