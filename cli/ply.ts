/** ply: see run.ts. */
import { findBundle, load } from '../daemon/bundled';

load(findBundle('ply'), 'cli/run');
