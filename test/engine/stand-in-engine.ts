/** An engine process that serves the stand-in. */
import path from 'node:path';
import { runEngine } from '../../daemon/engine/main.js';

runEngine(process.argv.slice(2), path.join(__dirname, 'stand-in.js'));
