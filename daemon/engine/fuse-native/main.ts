/**
 * The process of an engine of the driver fuse-native:
 *
 *   node dist/daemon/engine/fuse-native/main.js --control=FD [--supervised] [--rendezvous=PATH] [--log-level=LEVEL] [-- LABEL]
 *
 * As engine/run.ts.
 */
import { parseArgs } from 'node:util';
import { native } from '../../../native-bindings/index';
import { type Level, openLineLog } from '../../log';
import { FuseNativeEngine } from './engine';

function run(args: readonly string[]): void {
  const { values } = parseArgs({
    args: [...args],
    options: {
      control: { type: 'string' },
      supervised: { type: 'boolean', default: false },
      rendezvous: { type: 'string' },
      'log-level': { type: 'string', default: 'info' },
    },
    allowPositionals: true,
  });
  const log = openLineLog(values['log-level'] as Level, { name: 'plyfs-fuse-native' });
  process.on('SIGHUP', () => undefined);
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'the engine failed');
    native.exitNow(1);
  });
  const { rendezvous } = values;
  const engine = new FuseNativeEngine({ control: Number(values.control), log, ...(rendezvous !== undefined && { rendezvous }) });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => engine.stop(signal));
}

if (require.main === module) run(process.argv.slice(2));
