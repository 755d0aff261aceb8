/** All rows, in the order. */
import type { Row } from '../contract.js';
import { appendBig } from './append-big.js';
import { appendSmall } from './append-small.js';
import { aptInstall } from './apt-install.js';
import { build } from './build.js';
import { chmodMv } from './chmod-mv.js';
import { coldWalk } from './cold-walk.js';
import { containerStart } from './container-start.js';
import { data } from './data.js';
import { diskUseRow } from './disk-use.js';
import { flatMemory } from './flat-memory.js';
import { getattr } from './getattr.js';
import { git } from './git.js';
import { grep } from './grep.js';
import { imageStart } from './image-start.js';
import { importRow } from './import.js';
import { importedLookup, importedWalk } from './imported.js';
import { lstatExisting, lstatMissing } from './lstat.js';
import { manyLowers } from './many-lowers.js';
import { memory } from './memory.js';
import { neighbours } from './neighbours.js';
import { npm } from './npm.js';
import { python } from './python.js';
import { secondWalk } from './second-walk.js';
import { smallFiles } from './small-files.js';
import { startUpRow } from './start-up.js';
import { untar } from './untar.js';
import { warmWalk } from './warm-walk.js';

export const rows: readonly Row[] = [
  coldWalk,
  secondWalk,
  importedWalk,
  warmWalk,
  lstatExisting,
  lstatMissing,
  smallFiles,
  data,
  untar,
  appendSmall,
  appendBig,
  chmodMv,
  getattr,
  aptInstall,
  git,
  grep,
  python,
  build,
  npm,
  manyLowers,
  importedLookup,
  startUpRow,
  containerStart,
  importRow,
  diskUseRow,
  imageStart,
  memory,
  neighbours,
  flatMemory,
];
