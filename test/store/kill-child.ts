/** A child of database.test.ts: starts and removes containers until it is killed, and tells each change when it is committed. */
import { writeSync } from 'node:fs';
import { Catalog, newId } from '../../daemon/store/index.js';
import { addContainer, addRow } from './support.js';

const catalog = Catalog.open(process.argv[2]);
if (catalog.layers.all().length === 0) addRow(catalog, 'base');
if (catalog.images.all().length === 0) catalog.images.create({ name: 'one', layers: ['base'] });

for (;;) {
  const name = newId().slice(0, 16);
  catalog.transaction(() => {
    const container = addContainer(catalog, 'one', name);
    const mountpoint = `/m/${name}`;
    catalog.mounts.add({ mountpoint, lower: ['/a'], options: '', container });
    catalog.containers.running(container, mountpoint);
  });
  writeSync(1, `+${name}\n`);
  const all = catalog.containers.all();
  if (all.length < 20) continue;
  const victim = all[Math.floor(Math.random() * all.length)];
  catalog.transaction(() => {
    catalog.mounts.remove(catalog.mounts.ofContainer(victim.id)!.id);
    catalog.containers.stopped(victim.id);
    catalog.containers.remove(victim.id);
  });
  writeSync(1, `-${victim.name}\n`);
}
