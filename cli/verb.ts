/** What a verb of ply is: its command line, its help, and what it does. A module of cli/verbs each; cli/verbs.ts is the list of them. */
import type { Options } from 'yargs';
import type { Client } from '../client/client';
import type { Output } from './output';

export interface Verb {
  /** the command line after `ply`, as help shows it; several forms are several lines */
  readonly usage: readonly string[];
  /** one or two sentences: what it does */
  readonly about: string;
  /** how many words it takes beside options; `words` names them, for the message when there are too few */
  readonly words: { readonly min: number; readonly max: number; readonly names: string };
  /** options end at the first word: what follows belongs to a command */
  readonly stopsAtWords?: boolean;
  readonly options?: Readonly<Record<string, Options>>;
  /** commands without `ply`, and what they are for */
  readonly examples: readonly (readonly [command: string, purpose: string])[];
  /** more to know, after the examples */
  readonly notes?: string;
  run(args: Arguments, daemon: Client, output: Output): Promise<void>;
}

/** An option that came more than once counts as it came last. */
const last = (value: unknown): unknown => (Array.isArray(value) ? value.at(-1) : value);

/** What yargs made of the command line. */
export class Arguments {
  constructor(
    readonly words: readonly string[],
    private readonly options: Readonly<Record<string, unknown>>,
  ) {}

  /** The word at this place; the verb has said that it is there. */
  word(at: number): string {
    return this.words[at] ?? '';
  }

  flag(name: string): boolean {
    return last(this.options[name]) === true;
  }

  text(name: string): string | undefined {
    const value = last(this.options[name]);
    return typeof value === 'string' ? value : undefined;
  }

  /** of an option that may come several times */
  texts(name: string): string[] {
    const value = this.options[name];
    return Array.isArray(value) ? value.map(String) : [];
  }
}
