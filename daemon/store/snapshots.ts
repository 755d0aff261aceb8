/**
 * containerd's snapshots in the catalog: their rows, their labels, and the transactions on them. What the words mean is said in snapshotter/snapshotter.ts.
 *
 * Refusals, as containerd's errors: not-found, conflict (there is one already), bad-request (an invalid argument), in-use (a failed precondition).
 */
import type { Connection } from './database';
import { CatalogError } from './errors';
import { quoted } from './names';

export type SnapshotKind = 'active' | 'view' | 'committed';
export type Labels = Readonly<Record<string, string>>;

export interface SnapshotInfo {
  key: string;
  /** a key; '': none */
  parent: string;
  kind: SnapshotKind;
  /** RFC 3339 */
  createdAt: string;
  updatedAt: string;
  labels: Labels;
}

export interface SnapshotUsage {
  /** on disk */
  bytes: number;
  inodes: number;
}

export interface SnapshotRow extends SnapshotInfo {
  /** of its directory */
  number: number;
  /** since Commit */
  usage: SnapshotUsage | undefined;
}

export interface NewSnapshot {
  number: number;
  key: string;
  parent: string;
  kind: 'active' | 'view';
  labels: Labels;
}

/** Says that it is the layer with this chain ID, whatever namespace it was fetched for. */
const REFERENCE = 'containerd.io/snapshot.ref';

const COLUMNS = `seq AS number, key, coalesce((SELECT key FROM snapshots AS above WHERE above.seq = snapshots.parent), '') AS parent, kind,
  created_at AS createdAt, updated_at AS updatedAt, bytes, inodes`;

interface Label {
  name: string;
  value: string;
}

type Stored = Omit<SnapshotRow, 'labels' | 'usage'> & { bytes: number | null; inodes: number | null };

export class Snapshots {
  constructor(private readonly db: Connection) {}

  find(key: string): SnapshotRow | undefined {
    const row = this.db.prepare<[string], Stored>(`SELECT ${COLUMNS} FROM snapshots WHERE key = ?`).get(key);
    return row && this.labelled(row);
  }

  get(key: string): SnapshotRow {
    const row = this.find(key);
    if (row === undefined) throw new CatalogError('not-found', `snapshot ${quoted(key)} does not exist`);
    return row;
  }

  byNumber(number: number): SnapshotRow {
    return this.labelled(this.db.prepare<[number], Stored>(`SELECT ${COLUMNS} FROM snapshots WHERE seq = ?`).get(number)!);
  }

  all(): SnapshotRow[] {
    const rows = this.db.prepare<[], Stored>(`SELECT ${COLUMNS} FROM snapshots ORDER BY seq`).all();
    const named = this.db.prepare<[], Label & { snapshot: number }>('SELECT * FROM snapshot_labels ORDER BY name').all();
    const labels = new Map<number, Label[]>(rows.map(({ number }) => [number, []]));
    for (const label of named) labels.get(label.snapshot)?.push(label);
    return rows.map((row) => complete(row, labels.get(row.number) ?? []));
  }

  numbers(): number[] {
    return this.db.prepare<[], number>('SELECT seq FROM snapshots').pluck().all();
  }

  /** No row ever had this number or a higher one. */
  nextNumber(): number {
    return 1 + (this.db.prepare<[], number>(`SELECT seq FROM sqlite_sequence WHERE name = 'snapshots'`).pluck().get() ?? 0);
  }

  /** The numbers of a snapshot's parents, the nearest first. */
  chain(number: number): number[] {
    const sql = `WITH RECURSIVE chain (seq, depth) AS (SELECT parent, 0 FROM snapshots WHERE seq = ? UNION ALL
      SELECT parent, depth + 1 FROM snapshots JOIN chain USING (seq)) SELECT seq FROM chain WHERE seq IS NOT NULL ORDER BY depth`;
    return this.db.prepare<[number], number>(sql).pluck().all(number);
  }

  /**
   * What add() would refuse: to be asked before anything is made. One that says of which layer it is to become (its label containerd.io/snapshot.ref) is
   * refused as there when that layer is: whoever fetches it can do without.
   */
  checkNew({ key, parent, labels }: Omit<NewSnapshot, 'number'>): void {
    if (key === '') throw new CatalogError('bad-request', 'the key of the snapshot is empty: give one');
    if (this.find(key) !== undefined) throw new CatalogError('conflict', `snapshot ${quoted(key)} exists already`);
    const above = parent === '' ? undefined : this.get(parent);
    if (above !== undefined && above.kind !== 'committed')
      throw new CatalogError('bad-request', `snapshot ${quoted(parent)} is ${above.kind}, not committed: it cannot be a parent`);
    const reference = labels[REFERENCE] ?? '';
    if (reference === '') return;
    const sql = `SELECT key FROM snapshots JOIN snapshot_labels ON snapshot = seq WHERE name = ? AND value = ? AND kind = 'committed' AND parent IS ?`;
    const known = this.db
      .prepare<[string, string, number | null], string>(sql)
      .pluck()
      .get(REFERENCE, reference, above?.number ?? null);
    if (known !== undefined)
      throw new CatalogError('conflict', `the layer ${quoted(reference)} is here already, as snapshot ${quoted(known)}`);
  }

  add(snapshot: NewSnapshot): SnapshotRow {
    const { number, key, parent, kind, labels } = snapshot;
    return this.db
      .transaction(() => {
        this.checkNew(snapshot);
        const now = new Date().toISOString();
        this.db
          .prepare('INSERT INTO snapshots (seq, key, parent, kind, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)')
          .run(number, key, parent === '' ? null : this.get(parent).number, kind, now, now);
        this.label(number, labels);
        return this.byNumber(number);
      })
      .immediate();
  }

  /** What commit() would refuse. Returns the row of the active one. */
  checkCommit(name: string, key: string): SnapshotRow {
    if (name === '') throw new CatalogError('bad-request', 'the name to commit to is empty: give one');
    if (this.find(name) !== undefined) throw new CatalogError('conflict', `snapshot ${quoted(name)} exists already`);
    const row = this.get(key);
    if (row.kind !== 'active')
      throw new CatalogError('in-use', `snapshot ${quoted(key)} is ${row.kind}, not active: it cannot be committed`);
    return row;
  }

  /** `key` becomes `name`: another time of creation, and these labels instead of those it had. */
  commit(name: string, key: string, labels: Labels, usage: SnapshotUsage): SnapshotRow {
    return this.db
      .transaction(() => {
        const { number } = this.checkCommit(name, key);
        const now = new Date().toISOString();
        this.db
          .prepare(`UPDATE snapshots SET key = ?, kind = 'committed', created_at = ?, updated_at = ?, bytes = ?, inodes = ? WHERE seq = ?`)
          .run(name, now, now, usage.bytes, usage.inodes, number);
        this.label(number, labels);
        return this.byNumber(number);
      })
      .immediate();
  }

  /** `change` gets the labels there are. */
  update(key: string, change: (labels: Labels) => Labels): SnapshotRow {
    return this.db
      .transaction(() => {
        const { number, labels } = this.get(key);
        this.label(number, change(labels));
        this.db.prepare('UPDATE snapshots SET updated_at = ? WHERE seq = ?').run(new Date().toISOString(), number);
        return this.byNumber(number);
      })
      .immediate();
  }

  /** What remove() would refuse. */
  checkRemoval(key: string): SnapshotRow {
    const row = this.get(key);
    const child = this.db.prepare<[number], string>('SELECT key FROM snapshots WHERE parent = ? LIMIT 1').pluck().get(row.number);
    if (child !== undefined)
      throw new CatalogError('in-use', `snapshot ${quoted(key)} is the parent of ${quoted(child)}: remove that one first`);
    return row;
  }

  /** The row only. */
  remove(key: string): void {
    this.db
      .transaction(() => {
        this.db.prepare('DELETE FROM snapshots WHERE seq = ?').run(this.checkRemoval(key).number);
      })
      .immediate();
  }

  /** Instead of those there are. containerd's rule: a label without a value is none. */
  private label(number: number, labels: Labels): void {
    this.db.prepare('DELETE FROM snapshot_labels WHERE snapshot = ?').run(number);
    const add = this.db.prepare('INSERT INTO snapshot_labels (snapshot, name, value) VALUES (?, ?, ?)');
    for (const [name, value] of Object.entries(labels)) if (value !== '') add.run(number, name, value);
  }

  private labelled(row: Stored): SnapshotRow {
    const sql = 'SELECT name, value FROM snapshot_labels WHERE snapshot = ? ORDER BY name';
    return complete(row, this.db.prepare<[number], Label>(sql).all(row.number));
  }
}

function complete({ bytes, inodes, ...row }: Stored, labels: readonly Label[]): SnapshotRow {
  return {
    ...row,
    labels: Object.fromEntries(labels.map(({ name, value }) => [name, value])),
    usage: bytes === null || inodes === null ? undefined : { bytes, inodes },
  };
}
