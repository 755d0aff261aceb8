/**
 * An engine process:
 *
 *   node dist/daemon/engine/main.js --control=FD [--workers=N] [--transport=auto|dev|uring] [--log-level=LEVEL]
 *     [--foreground | --supervised --rendezvous=PATH] [-- LABEL]
 *
 * It is told what to serve through the control channel (control.ts) and logs to its standard error. LABEL is for ps.
 */
import { parseArgs } from 'node:util';
import { native } from '../../native-bindings/index';
import { type Level, LEVELS, openLineLog } from '../log';
import { TRANSPORTS } from '../mounts/options';
import { Engine, type EngineOptions } from './engine';

/** `overlay`: absolute path of a module that serves the operations in place of the overlay. `thread`: the first one of threads.ts, started already. */
export function runEngine(args: readonly string[], loaded: Pick<EngineOptions, 'bundle' | 'thread' | 'overlay'> = {}): void {
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
  const log = openLineLog(logLevel, { name: 'plyfs-engine' });
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
    ...loaded,
    control,
    foreground: values.foreground,
    supervised: values.supervised,
    ...(values.rendezvous !== undefined && { rendezvous: values.rendezvous }),
  });
  running.engine = engine;
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => engine.stop(signal));
}
