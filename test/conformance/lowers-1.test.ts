import t from 'tap';
import { writable } from './cases.js';
import { conformance } from './suite.js';

conformance(t, { cases: writable, lowers: 1, targets: ['kernel-overlay', 'plyfs'] });
