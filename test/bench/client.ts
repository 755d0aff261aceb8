/** The C program whose system calls are timed (client.c): built when its source has changed, and called with the answer's types. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { type CommandOptions, type Running, command, start } from './processes.js';

export interface Walked {
  seconds: number;
  files: number;
  directories: number;
  bytes: number;
}

export interface Ran {
  seconds: number;
  user: number;
  system: number;
}

/** A C program of this directory: its binary, in `cache`, under the name of what it was made from. */
export async function buildProgram(cache: string, name: string): Promise<string> {
  const source = path.resolve(__dirname, `../../../test/bench/${name}.c`);
  const digest = createHash('sha256').update(fs.readFileSync(source)).digest('hex').slice(0, 16);
  const binary = path.join(cache, `${name}-${digest}`);
  if (!fs.existsSync(binary)) {
    await command('gcc', ['-std=gnu17', '-O2', '-Wall', '-Wextra', '-pthread', '-o', `${binary}.new`, source]);
    fs.renameSync(`${binary}.new`, binary);
  }
  return binary;
}

export class Client {
  private constructor(private readonly binary: string) {}

  static async build(cache: string): Promise<Client> {
    return new Client(await buildProgram(cache, 'client'));
  }

  start(args: readonly (string | number)[], options: CommandOptions = {}): Running {
    return start(this.binary, args.map(String), options);
  }

  async call<Answer>(args: readonly (string | number)[], options: CommandOptions = {}): Promise<Answer> {
    return JSON.parse(await this.start(args, options).output) as Answer;
  }

  walk(directory: string, options?: CommandOptions): Promise<Walked> {
    return this.call(['walk', directory], options);
  }

  lstat(directory: string, list: string): Promise<{ seconds: number; found: number; missing: number; bytes: number }> {
    return this.call(['lstat', directory, list], { limitMs: 120_000 });
  }

  read(directory: string, list: string): Promise<{ seconds: number; files: number; bytes: number }> {
    return this.call(['read', directory, list], { limitMs: 120_000 });
  }

  /** How long a command took, its standard output in `out`; another status than 0 is an error with what it said on standard error. */
  run(words: readonly string[], options: CommandOptions & { out?: string } = {}): Promise<Ran> {
    const { out = '/dev/null', ...rest } = options;
    return this.call(['run', out, ...words], rest);
  }
}
