/**
 * Entry of an engine process:
 *
 *   node dist/daemon/engine/main.js --control=FD [--workers=N] [--transport=auto|dev|uring] [--log-level=LEVEL]
 *     [--foreground | --supervised --rendezvous=PATH] [-- LABEL]
 *
 * It is told what to serve through the control channel (control.ts) and logs to its standard error. LABEL is for ps.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { native } from '../../native-bindings/index';
import { type Level, LEVELS, openLog } from '../log';
import { TRANSPORTS } from '../mounts/options';
import { Engine } from './engine';

const OVERLAY = join(__dirname, '..', 'overlay', 'index.js');

/** `overlay`: path of the module that serves the operations. */
export function runEngine(args: readonly string[], overlay: string): void {
  const { values } = parseArgs({
    args: [...args],
    options: {
      control: { type: 'string' },
      workers: { type: 'string' },
      transport: { type: 'string', default: 'auto' },
      'log-level': { type: 'string', default: 'info' },
      foreground: { type: 'boolean', default: false },
      supervised: { type: 'boolean', default: false },
      rendezvous: { type: 'string' },
    },
    allowPositionals: true,
  });
  const logLevel = values['log-level'] as Level;
  if (!(logLevel in LEVELS)) throw new Error(`--log-level=${logLevel}: it takes one of ${Object.keys(LEVELS).join(', ')}`);
  const transport = TRANSPORTS.find((one) => one === values.transport);
  if (transport === undefined) throw new Error(`--transport=${values.transport}: it takes one of ${TRANSPORTS.join(', ')}`);
  const log = openLog(logLevel, { name: 'plyfs-engine' });
  process.on('SIGHUP', () => undefined); // the terminal that started us is none of our business
  const control = Number(values.control);
  const running: { engine?: Engine } = {};
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'the engine failed');
    if (running.engine !== undefined) running.engine.abort();
    else {
      native.sendMessage(
        control,
        Buffer.from(JSON.stringify({ id: 0, ok: false, error: `the engine cannot start: ${error.message}` })),
        [],
      );
      native.exitNow(1);
    }
  });
  const engine = new Engine({
    ...(values.workers !== undefined && { workers: Number(values.workers) }),
    transport,
    logLevel,
    log,
    overlay,
    control,
    foreground: values.foreground,
    supervised: values.supervised,
    ...(values.rendezvous !== undefined && { rendezvous: values.rendezvous }),
  });
  running.engine = engine;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => engine.stop(signal));
}

if (require.main === module) runEngine(process.argv.slice(2), OVERLAY);
