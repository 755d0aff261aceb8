/**
 * One of several processes that work in the same mount: `node actor.js MOUNT ID ACTORS ROUNDS`. It makes, changes, moves and removes files under
 * names of its own, in directories of its own and in shared ones, and knows at any time what must be there; what all compete for (one name, one
 * lower file) it notes whether it has won. Prints what it knows at the end as JSON; a disagreement ends it with status 1.
 */
import fs from 'node:fs';
import path from 'node:path';
import { Random } from '../fuzz/random';
import { lowerFiles, RACES, SHARED, type Knowledge, type Known } from './model';

class Disagreement extends Error {}

function check(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new Disagreement(message());
}

/** Did it work? Losing a race has the errno `expected`. */
function attempt(action: () => void, ...expected: string[]): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if (expected.includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

/** How often each comes. */
const STEPS = { create: 20, change: 16, look: 20, list: 10, rename: 12, link: 6, unlink: 10, makeDirectory: 4, moveDirectory: 5, log: 6 };

class Actor {
  private readonly random: Random;
  /** every file of this actor by its path in the mount */
  private readonly files = new Map<string, Known>();
  private readonly directories = new Set<string>();
  private serial = 0;
  private appended = 0;
  readonly won: string[] = [];

  constructor(
    private readonly root: string,
    private readonly id: number,
    private readonly actors: number,
  ) {
    this.random = new Random(id, 30);
    for (const [name, known] of Object.entries(lowerFiles(id))) this.files.set(name, known);
    this.directories.add(`p${id}`);
  }

  private at(name: string): string {
    return path.join(this.root, name);
  }

  private someFile(): string | undefined {
    return this.files.size === 0 ? undefined : this.random.pick([...this.files.keys()]);
  }

  /** A name of this actor's in one of its own directories or in a shared one. */
  private freshName(): string {
    const directory = this.random.pick([...this.directories, ...SHARED]);
    return `${directory}/p${this.id}-${++this.serial}`;
  }

  // ---- steps ---------------------------------------------------------------------------------------------------------------------------

  private create(): void {
    const name = this.freshName();
    const content = `${name} ${'x'.repeat(this.random.below(6000))}`;
    fs.writeFileSync(this.at(name), content, { flag: 'wx', mode: 0o640 });
    fs.chmodSync(this.at(name), 0o640); // whatever the umask is
    this.files.set(name, { content, mode: 0o640, group: name });
  }

  private change(): void {
    const name = this.someFile();
    if (name === undefined) return;
    const known = this.files.get(name)!;
    const { random } = this;
    switch (random.weighted({ append: 40, rewrite: 20, truncate: 15, chmod: 25 })) {
      case 'append':
        fs.appendFileSync(this.at(name), ' more');
        this.update(known, { content: known.content + ' more' });
        break;
      case 'rewrite':
        fs.writeFileSync(this.at(name), 'rewritten');
        this.update(known, { content: 'rewritten' });
        break;
      case 'truncate': {
        const size = random.below(known.content.length + 1);
        fs.truncateSync(this.at(name), size);
        this.update(known, { content: known.content.slice(0, size) });
        break;
      }
      case 'chmod': {
        const mode = random.pick([0o600, 0o644, 0o755]);
        fs.chmodSync(this.at(name), mode);
        this.update(known, { mode });
        break;
      }
    }
  }

  /** All names of one file change together. */
  private update(known: Known, change: Partial<Known>): void {
    for (const other of this.files.values()) if (other.group === known.group) Object.assign(other, change);
  }

  private look(): void {
    const name = this.someFile();
    if (name === undefined) return;
    const known = this.files.get(name)!;
    const fd = fs.openSync(this.at(name), 'r');
    try {
      const content = fs.readFileSync(fd, 'utf8');
      check(content === known.content, () => `${name} holds ${content.length} bytes, ${known.content.length} were written`);
      const stat = fs.fstatSync(fd);
      const names = [...this.files.values()].filter((other) => other.group === known.group).length;
      check((stat.mode & 0o7777) === known.mode, () => `${name} has mode ${stat.mode.toString(8)}, not ${known.mode.toString(8)}`);
      check(stat.nlink === names, () => `${name} has ${stat.nlink} links, not ${names}`);
    } finally {
      fs.closeSync(fd);
    }
  }

  /** Of all names in a directory those of this actor are the ones it knows. */
  private list(): void {
    const directory = this.random.pick([...this.directories, ...SHARED]);
    const mine = new RegExp(`^p${this.id}-`);
    const seen = fs
      .readdirSync(this.at(directory))
      .filter((name) => mine.test(name))
      .sort();
    const known = [...this.files.keys(), ...this.directories].filter(
      (name) => path.dirname(name) === directory && mine.test(path.basename(name)),
    );
    const expected = known.map((name) => path.basename(name)).sort();
    check(seen.join() === expected.join(), () => `${directory} shows ${seen.join(' ')}, expected were ${expected.join(' ')}`);
  }

  private rename(): void {
    const from = this.someFile();
    if (from === undefined) return;
    const replaced = this.random.chance(25) ? this.someFile() : undefined;
    const to = replaced !== undefined && replaced !== from ? replaced : this.freshName();
    fs.renameSync(this.at(from), this.at(to));
    const known = this.files.get(from)!;
    if (this.files.get(to)?.group === known.group) return; // two names of one file: rename does nothing
    this.files.delete(from);
    this.files.set(to, known);
  }

  private link(): void {
    const from = this.someFile();
    if (from === undefined) return;
    const to = this.freshName();
    fs.linkSync(this.at(from), this.at(to));
    this.files.set(to, { ...this.files.get(from)! });
  }

  private unlink(): void {
    const name = this.someFile();
    if (name === undefined) return;
    const fd = this.random.chance(30) ? fs.openSync(this.at(name), 'r') : undefined;
    const known = this.files.get(name)!;
    fs.unlinkSync(this.at(name));
    this.files.delete(name);
    if (fd === undefined) return;
    const content = fs.readFileSync(fd, 'utf8');
    fs.closeSync(fd);
    check(content === known.content, () => `${name} was removed while it was open and reads differently now`);
  }

  private makeDirectory(): void {
    if (this.directories.size > 8) {
      this.moveDirectory();
      return;
    }
    const name = this.freshName();
    fs.mkdirSync(this.at(name));
    this.directories.add(name);
  }

  /** A directory with all that is in it, to another place of this actor's. */
  private moveDirectory(): void {
    const movable = [...this.directories].filter((name) => name.includes('/'));
    if (movable.length === 0) return;
    const from = this.random.pick(movable);
    const to = this.freshName();
    if (to.startsWith(`${from}/`)) return;
    fs.renameSync(this.at(from), this.at(to));
    const moved = (name: string): string => (name === from || name.startsWith(`${from}/`) ? to + name.slice(from.length) : name);
    for (const name of [...this.directories]) {
      this.directories.delete(name);
      this.directories.add(moved(name));
    }
    for (const [name, known] of [...this.files]) {
      this.files.delete(name);
      this.files.set(moved(name), known);
    }
  }

  /** One line to the end of a file that everybody appends to. The first of them copies it up. */
  private log(): void {
    const line = `p${this.id} ${this.appended}\n`;
    fs.appendFileSync(this.at(`${SHARED[this.appended % SHARED.length]}/log`), line);
    this.appended++;
  }

  /** What only one of all can get: a name to make, a lower file to move or to remove. */
  private race(number: number): void {
    const directory = SHARED[number % SHARED.length];
    const name = `${directory}/race${number}`;
    const mine = `${directory}/won${number}`;
    let won: boolean;
    switch (number % 4) {
      case 0:
        won = attempt(() => fs.mkdirSync(this.at(name)), 'EEXIST');
        break;
      case 1:
        won = attempt(() => fs.writeFileSync(this.at(name), `${this.id}`, { flag: 'wx' }), 'EEXIST');
        break;
      case 2:
        won = attempt(() => fs.renameSync(this.at(name), this.at(mine)), 'ENOENT');
        break;
      default:
        won = attempt(() => fs.unlinkSync(this.at(name)), 'ENOENT');
    }
    if (won) this.won.push(name);
  }

  // ---- all of it -----------------------------------------------------------------------------------------------------------------------

  private readonly steps: Record<keyof typeof STEPS, () => void> = {
    create: () => this.create(),
    change: () => this.change(),
    look: () => this.look(),
    list: () => this.list(),
    rename: () => this.rename(),
    link: () => this.link(),
    unlink: () => this.unlink(),
    makeDirectory: () => this.makeDirectory(),
    moveDirectory: () => this.moveDirectory(),
    log: () => this.log(),
  };

  work(rounds: number): Knowledge {
    const everyRace = Math.max(1, Math.floor(rounds / RACES));
    for (let round = 0, race = 0; round < rounds; round++) {
      this.steps[this.random.weighted(STEPS)]();
      // Everybody comes to the races in the same order, at about the same time.
      if (round % everyRace === 0 && race < RACES) this.race(race++);
    }
    check(this.actors > this.id, () => 'an actor too many');
    return { files: Object.fromEntries(this.files), directories: [...this.directories], won: this.won, appended: this.appended };
  }
}

const [root, id, actors, rounds] = process.argv.slice(2);
try {
  process.stdout.write(JSON.stringify(new Actor(root, Number(id), Number(actors)).work(Number(rounds))));
} catch (error) {
  process.stderr.write(error instanceof Disagreement ? error.message : ((error as Error).stack ?? String(error)));
  process.exitCode = 1;
}
