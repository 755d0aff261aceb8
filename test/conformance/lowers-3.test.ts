import t from 'tap';
import { writable } from './cases.js';
import { conformance } from './suite.js';

conformance(t, { cases: writable, lowers: 3, complete: true, imported: true });
