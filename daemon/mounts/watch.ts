/** What happens to mounts and engines by themselves, told to the catalog and to whoever listens. */
import type { Log } from '../log';
import type { Catalog, MountRow } from '../store';
import type { Engine } from './engine';
import type { Events } from './events';
import type { Locks } from './lock';
import type { Supervisor, SupervisorEvents } from './supervisor';

export class MountWatch implements SupervisorEvents {
  supervisor: Supervisor | undefined;

  constructor(
    private readonly catalog: Catalog,
    private readonly events: Events,
    private readonly locks: Locks,
    private readonly log: Log,
  ) {}

  onGone = (id: string): void => {
    this.settle(id, (row) => {
      if (this.supervisor?.get(id) !== undefined) return;
      const { container, mountpoint } = row;
      this.catalog.transaction(() => {
        this.catalog.mounts.remove(id);
        if (container !== null) this.catalog.containers.stopped(container);
      });
      const detail = 'unmounted by another program';
      if (container === null) this.events.emit({ type: 'umount', id, name: mountpoint, detail });
      else this.events.emit({ type: 'container.stop', id: container, name: this.catalog.containers.get(container).name, detail });
    });
  };

  onRecovered = (id: string): void => {
    this.settle(id, ({ container, mountpoint }) => {
      const served = this.supervisor?.get(id);
      if (served === undefined) return;
      this.catalog.mounts.update(id, { device: served.dev, engine: served.engine.pid });
      const name = container === null ? mountpoint : this.catalog.containers.get(container).name;
      this.events.emit({ type: 'recover', id: container ?? id, name, detail: 'its engine died: mounted again' });
    });
  };

  onFailed = (id: string, error: Error): void => {
    this.settle(id, (row) => {
      if (this.supervisor?.get(id) === undefined) loseMount(this.catalog, this.events, row, error);
    });
  };

  onEngineStart = ({ pid, level }: Engine, adopted: boolean): void => {
    this.events.emit({ type: 'engine.start', id: String(pid), detail: adopted ? `adopted, level ${level}` : `level ${level}` });
  };

  onEngineEnd = ({ pid }: Engine, how: string, expected: boolean): void => {
    this.events.emit({ type: 'engine.exit', id: String(pid), detail: expected ? 'not needed any more' : how });
  };

  /** After what is being done with the container. */
  private settle(id: string, change: (row: MountRow) => void): void {
    const row = this.row(id);
    if (row === undefined) return;
    this.locks
      .hold(row.container ?? id, () => {
        const now = this.row(id);
        if (now !== undefined) change(now);
        return Promise.resolve();
      })
      .catch((error: unknown) =>
        this.log.error({ err: error, mount: id, mountpoint: row.mountpoint }, 'the catalog cannot be brought up to date'),
      );
  }

  private row(id: string): MountRow | undefined {
    return this.catalog.mounts.all().find((row) => row.id === id);
  }
}

/** A container that cannot be mounted has failed and has no mount; another mount stays to be seen, as failed. */
export function loseMount(catalog: Catalog, events: Events, row: MountRow, error: Error): void {
  const { container } = row;
  if (container === null) {
    catalog.mounts.update(row.id, { phase: 'failed', device: null, engine: null });
    return;
  }
  catalog.transaction(() => {
    catalog.mounts.remove(row.id);
    catalog.containers.failed(container, error.message);
  });
  events.emit({ type: 'container.fail', id: container, name: catalog.containers.get(container).name, detail: error.message });
}
