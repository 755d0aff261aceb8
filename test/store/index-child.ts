/** A child of interrupted.test.ts: a plyd that adds a layer, tells when the work has begun (and is killed), or why it failed. */
import { writeSync } from 'node:fs';
import { addLayer, Catalog } from '../../daemon/store/index.js';

const [, , root, tree] = process.argv;
const catalog = Catalog.open(root);
addLayer(catalog, { path: tree }, { onProgress: () => writeSync(1, 'begun\n') }).catch((error: unknown) => {
  writeSync(1, String(error));
  process.exitCode = 1;
});
