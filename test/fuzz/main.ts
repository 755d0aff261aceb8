/**
 * The differential tester: random operations on a plain directory, on kernel overlayfs and on plyfs, and every answer compared.
 *
 *   npm run fuzz:fs -- [--seeds N] [--seed S] [--ops M] [--targets plain,kernel,plyfs] [--workers W] [--jobs J] [--batch B] [--cross] [--keep]
 *   npm run fuzz:fs -- --replay FILE [--replay FILE…]     cases, as they were printed; with --verbose every answer
 *
 * --sync: plyfs syncs what it copies up (else it is mounted volatile); --options: more mount options for plyfs; --cross: what one overlay wrote is
 * also mounted by the other; --before kernel|plyfs: that overlay has written the topmost layer. A case follows from its seed. A difference is shrunk, printed and kept in fuzz-SEED.case. Status 1 when there was one.
 */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { Fuzzer, type FuzzOptions } from './fuzzer';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
    ops: { type: 'string', default: '100' },
    targets: { type: 'string', default: 'plain,kernel,plyfs' },
    workers: { type: 'string' },
    options: { type: 'string' },
    jobs: { type: 'string', default: '1' },
    batch: { type: 'string', default: '100' },
    most: { type: 'string', default: '10' },
    out: { type: 'string', default: '.' },
    cross: { type: 'boolean', default: false },
    sync: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    every: { type: 'boolean', default: false },
    before: { type: 'string', default: '' },
    replay: { type: 'string', multiple: true },
    verbose: { type: 'boolean', default: false },
    'no-shrink': { type: 'boolean', default: false },
  },
});

const options: FuzzOptions = {
  seeds: Number(values.seeds),
  seed: Number(values.seed),
  ops: Number(values.ops),
  targets: values.targets.split(','),
  plyfsOptions: [
    ...(values.sync ? [] : ['volatile']),
    ...(values.workers === undefined ? [] : [`workers=${values.workers}`]),
    ...(values.options === undefined ? [] : [values.options]),
  ],
  jobs: Number(values.jobs),
  batch: Number(values.batch),
  most: Number(values.most),
  out: values.out,
  cross: values.cross,
  keep: values.keep,
  every: values.every,
  before: values.before,
  shrink: !values['no-shrink'],
  say: (text) => void process.stdout.write(text),
};

async function main(): Promise<boolean> {
  const fuzzer = new Fuzzer(options);
  if (values.replay !== undefined) return fuzzer.replay(values.replay, values.verbose);
  return fuzzer.run();
}

/**
 * In a mount namespace of its own, for a namespace that somebody else makes meanwhile keeps copies of our mounts: they could not be mounted
 * again (EBUSY). What a run leaves mounted is gone with it.
 */
function inOwnNamespace(): boolean {
  if (process.env['PLYFS_FUZZ_NAMESPACE'] === '1' || values.keep) return true;
  const { status, error } = spawnSync('unshare', ['-m', process.execPath, ...process.argv.slice(1)], {
    stdio: 'inherit',
    env: { ...process.env, PLYFS_FUZZ_NAMESPACE: '1' },
  });
  if (error !== undefined) throw error;
  process.exitCode = status ?? 2;
  return false;
}

if (inOwnNamespace())
  main().then(
    (same) => (process.exitCode = same ? 0 : 1),
    (error: unknown) => {
      console.error(error);
      process.exitCode = 2;
    },
  );
