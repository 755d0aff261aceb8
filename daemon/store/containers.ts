/** The catalog's containers and their states. */
import type { Container } from '../api/types';
import type { Connection } from './database';
import { CatalogError } from './errors';
import type { Images } from './images';
import { checkName, type Id, inventName, isId, newId, quoted, shortId } from './names';
import { type Referable, resolve } from './references';

export type ContainerState = Container['state'];

export interface NewContainer {
  /** made with newId() where the paths are named after it */
  id?: Id;
  /** id, beginning of an id, or name */
  image: string;
  /** none: one is invented */
  name?: string | undefined;
  upper: string;
  work: string;
  options?: string;
}

/**
 * Which state may follow which. A container that is running and found without its mount after a crash stays running while it is mounted again,
 * and becomes failed if that fails. A second failure replaces the first one's reason.
 */
export const TRANSITIONS: Readonly<Record<ContainerState, readonly ContainerState[]>> = {
  created: ['running', 'failed'],
  running: ['stopped', 'failed'],
  stopped: ['running', 'failed'],
  failed: ['running', 'stopped', 'failed'],
};

type ContainerRow = Omit<Container, 'imageName'>;

const COLUMNS = 'id, name, image, created_at AS createdAt, started_at AS startedAt, state, error, mountpoint, upper, work, options';

export class Containers implements Referable {
  readonly what = 'container';
  readonly table = 'containers';
  readonly list = 'ply ps';

  constructor(
    private readonly db: Connection,
    private readonly images: Images,
  ) {}

  create(container: NewContainer): Container {
    const id = container.id ?? newId();
    if (!isId(id)) throw new CatalogError('bad-request', `${quoted(id)} is no id: 64 hexadecimal digits are needed`);
    return this.db
      .transaction(() => {
        const image = this.images.get(container.image).id;
        const name = container.name ?? inventName((candidate) => this.byName(candidate) !== undefined);
        checkName('container', name);
        const other = this.byName(name);
        if (other !== undefined)
          throw new CatalogError('conflict', `there is already a container ${quoted(name)}: choose another name or remove that one`, {
            by: [shortId(other)],
          });
        this.db
          .prepare(
            `INSERT INTO containers (id, name, image, created_at, state, upper, work, options) VALUES (?, ?, ?, ?, 'created', ?, ?, ?)`,
          )
          .run(id, name, image, new Date().toISOString(), container.upper, container.work, container.options ?? '');
        return this.byId(id);
      })
      .immediate();
  }

  get(ref: string): Container {
    return this.byId(resolve(this.db, this, ref));
  }

  all(): Container[] {
    return this.db
      .prepare<[], ContainerRow>(`SELECT ${COLUMNS} FROM containers ORDER BY seq`)
      .all()
      .map((row) => this.complete(row));
  }

  /** It is mounted. Sets startedAt. */
  running(ref: string, mountpoint: string): Container {
    return this.change(ref, 'running', mountpoint, null);
  }

  /** It is unmounted, on purpose. */
  stopped(ref: string): Container {
    return this.change(ref, 'stopped', null, null);
  }

  /** It cannot be mounted, or its mount is lost: the reason is for people. */
  failed(ref: string, error: string): Container {
    return this.change(ref, 'failed', null, error);
  }

  /** Throws 'conflict' unless the state may become `to`: to be asked before anything is mounted or unmounted. */
  checkTransition(container: Container, to: ContainerState): void {
    if (TRANSITIONS[container.state].includes(to)) return;
    const { name, state } = container;
    const why =
      to === 'running'
        ? `the container ${name} is already running${container.mountpoint === null ? '' : ` at ${container.mountpoint}`}`
        : state === to
          ? `the container ${name} is already ${to}`
          : `the container ${name} is ${state}, not running`;
    throw new CatalogError('conflict', `${why}: nothing was done`);
  }

  private change(ref: string, to: ContainerState, mountpoint: string | null, error: string | null): Container {
    return this.db
      .transaction(() => {
        const container = this.get(ref);
        this.checkTransition(container, to);
        this.db
          .prepare('UPDATE containers SET state = ?, mountpoint = ?, error = ?, started_at = coalesce(?, started_at) WHERE id = ?')
          .run(to, mountpoint, error, to === 'running' ? new Date().toISOString() : null, container.id);
        return this.byId(container.id);
      })
      .immediate();
  }

  /** Throws 'conflict' while it is running or mounted: to be asked before its directories are touched. */
  checkRemoval(ref: string): Container {
    const container = this.get(ref);
    const { id, name, state } = container;
    if (state === 'running') {
      throw new CatalogError('conflict', `cannot remove the container ${name}, it is running: stop it (ply stop ${name}), or use -f`);
    }
    const mountpoint = this.db.prepare<[Id], string>('SELECT mountpoint FROM mounts WHERE container = ?').pluck().get(id);
    if (mountpoint !== undefined)
      throw new CatalogError('conflict', `the container ${name} is still mounted at ${mountpoint}: unmount it first`);
    return container;
  }

  /** Removes the row, and says what it was: the directories are the caller's to delete, afterwards. Refused as by {@link checkRemoval}. */
  remove(ref: string): Container {
    return this.db
      .transaction(() => {
        const container = this.checkRemoval(ref);
        this.db.prepare('DELETE FROM containers WHERE id = ?').run(container.id);
        return container;
      })
      .immediate();
  }

  private byId(id: Id): Container {
    return this.complete(this.db.prepare<[Id], ContainerRow>(`SELECT ${COLUMNS} FROM containers WHERE id = ?`).get(id)!);
  }

  private complete(row: ContainerRow): Container {
    const { id, name, image, ...rest } = row;
    return { id, name, image, imageName: this.images.namesOf(image).at(0) ?? image, ...rest };
  }

  byName(name: string): Id | undefined {
    return this.db.prepare<[string], Id>('SELECT id FROM containers WHERE name = ?').pluck().get(name);
  }

  names(): string[] {
    return this.db.prepare<[], string>('SELECT name FROM containers').pluck().all();
  }
}
