/** Entry of an engine process: see run.ts. */
import { findBundle, load } from '../bundled';
import { startThread } from './threads';

if (require.main === module) {
  const bundle = findBundle('engine');
  const thread = startThread(bundle); // the first mount waits for one, so that comes before all else
  const { runEngine } = load(bundle, 'daemon/engine/run') as typeof import('./run');
  runEngine(process.argv.slice(2), { bundle, thread });
}
