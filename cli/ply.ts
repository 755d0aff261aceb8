/** ply: see main.ts. */
import { findBundle, load } from '../daemon/bundled';

load(findBundle('ply'), 'cli/main');
