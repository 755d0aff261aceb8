import t from 'tap';
import { readOnly } from './cases.js';
import { conformance } from './suite.js';

conformance(t, { cases: readOnly, lowers: 3, readOnly: true, imported: true });
