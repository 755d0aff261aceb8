/** All the cases, by subject. */
import attributes from './cases/attributes.js';
import copyup from './cases/copyup.js';
import create from './cases/create.js';
import data from './cases/data.js';
import directories from './cases/directories.js';
import identity from './cases/identity.js';
import letter from './cases/letter.js';
import limits from './cases/limits.js';
import links from './cases/links.js';
import lookup from './cases/lookup.js';
import mappings from './cases/mappings.js';
import nodes from './cases/nodes.js';
import readdir from './cases/readdir.js';
import readonly from './cases/readonly.js';
import rename from './cases/rename.js';
import space from './cases/space.js';
import tmpfile from './cases/tmpfile.js';
import whiteouts from './cases/whiteouts.js';
import xattrs from './cases/xattrs.js';
import { type Group, type Prepared, prepare } from './model.js';

const groups: readonly Group[] = [
  lookup,
  create,
  directories,
  rename,
  links,
  nodes,
  data,
  mappings,
  tmpfile,
  attributes,
  xattrs,
  readdir,
  space,
  identity,
  whiteouts,
  copyup,
  letter,
  limits,
];

/** PLYFS_CONFORMANCE_CASES is a pattern for "subject: name". */
const wanted = new RegExp(process.env['PLYFS_CONFORMANCE_CASES'] ?? '');
const select = (cases: Prepared[]): Prepared[] => cases.filter(({ subject, one }) => wanted.test(`${subject}: ${one.name}`));

export const writable: readonly Prepared[] = select(prepare(groups));
export const readOnly: readonly Prepared[] = select(prepare([readonly]));
