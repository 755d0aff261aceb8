import t from 'tap';
import { writable } from './cases.js';
import { conformance } from './suite.js';

// A hundred lowers: what depends on their number is the merging of directories, not each single operation.
conformance(t, {
  cases: writable.filter(({ subject }) => ['lookup', 'readdir', 'whiteouts', 'copy-up', 'identity'].includes(subject)),
  lowers: 100,
  targets: ['kernel-overlay', 'plyfs'],
});
