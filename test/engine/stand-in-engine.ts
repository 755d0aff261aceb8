/** An engine process that serves the stand-in. */
import path from 'node:path';
import { runEngine } from '../../daemon/engine/run.js';

runEngine(process.argv.slice(2), { overlay: path.join(__dirname, 'stand-in.js') });
