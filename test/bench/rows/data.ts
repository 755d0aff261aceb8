import fs from 'node:fs';
import path from 'node:path';
import type { Place } from '../bench.js';
import { type Figure, type Required, rates, row, verify } from '../contract.js';
import { command } from '../processes.js';
import { bigFile, warmFile } from '../trees.js';

const READS: Required = { devOv: 0.95, uringOv: 0.95, foDev: 1.0, foUring: 1.0 };
const WRITES: Required = { devOv: 0.95, uringOv: 0.95, foDev: 5, foUring: 5 };

function figure(key: string, title: string, unit: 'MiB/s' | 'kIOPS', required: Required): Figure {
  return { key, title, unit, better: 'more', checks: rates(required) };
}

interface Side {
  io_bytes: number;
  bw_bytes: number;
  iops: number;
}

interface FioAnswer {
  jobs: { error: number; read: Side; write: Side }[];
}

/** One fio job on a file that exists. fio leaves the page cache as it is; it lays nothing out. */
async function fio(place: Place, kind: 'read' | 'write', filename: string, ...args: string[]): Promise<Side> {
  const always = [
    '--name=bench',
    '--output-format=json',
    '--ioengine=psync',
    '--invalidate=0',
    '--fallocate=none',
    '--overwrite=0',
    '--thread',
  ];
  const text = await command('fio', [...always, `--filename=${filename}`, ...args], { cwd: place.directory, limitMs: 180_000 });
  const job = (JSON.parse(text.slice(text.indexOf('{'))) as FioAnswer).jobs[0];
  verify('fio: error', job.error, 0);
  return job[kind];
}

/** File contents: where the kernel passes through, the engine is not asked at all. */
export const data = row({
  name: 'data',
  title: 'Sequential read and write, 4 KiB random read and write, mmap read',
  about:
    'fio with psync, no O_DIRECT, page cache warm, on a file of 1 GiB: a lower file read in blocks of 1 MiB for the first time and again, in random blocks of 4 KiB for 3 s, and through a mapping (client.c; its sum is verified); a new file written in blocks of 1 MiB, overwritten in random blocks of 4 KiB for 3 s, and read. Rates, not times: the ratios to ov are rate over rate, those to fo our rate over its.',
  dominates:
    'memory bandwidth and the kernel alone where a file is passed through. A lower file that is not ELF is read through the engine the first time on a writable mount (coherence: docs/compatibility.md).',
  systems: ['bare', 'ov', 'fo', 'dev', 'uring', 'fuse-native'],
  figures: [
    figure('first', 'sequential read, lower file, first', 'MiB/s', READS),
    figure('again', 'sequential read, lower file, again', 'MiB/s', READS),
    figure('random', '4 KiB random read, lower file', 'kIOPS', READS),
    figure('mmap', 'mmap read, lower file', 'MiB/s', READS),
    figure('write', 'sequential write', 'MiB/s', WRITES),
    figure('overwrite', '4 KiB random write', 'kIOPS', WRITES),
    figure('own', 'sequential read, upper file', 'MiB/s', READS),
  ],
  setup: (bench) => bigFile(bench, bench.amount(1024, 64)),
  async prepare(place, { lower, name }) {
    await warmFile(path.join(lower, name));
    return place.mount({ lowers: [lower], bare: { tree: lower, copy: true } });
  },
  async measure(place, { point }, { name, bytes, sum }) {
    const [lowerFile, newFile] = [path.join(point, name), path.join(point, 'new')];
    const mib = (side: Side): number => side.bw_bytes / 2 ** 20;
    const whole = async (kind: 'read' | 'write', file: string): Promise<number> => {
      const side = await fio(place, kind, file, `--rw=${kind}`, '--bs=1M', `--size=${bytes}`);
      verify(`bytes of the sequential ${kind}`, side.io_bytes, bytes);
      return mib(side);
    };
    const runtime = `--runtime=${Math.max(1, Math.round(3 * Math.min(1, place.bench.scale)))}`;
    const random = async (kind: 'read' | 'write', file: string): Promise<number> =>
      (await fio(place, kind, file, `--rw=rand${kind}`, '--bs=4k', `--size=${bytes}`, '--norandommap', '--time_based', runtime)).iops /
      1000;
    const first = await whole('read', lowerFile);
    const again = await whole('read', lowerFile);
    const randomRead = await random('read', lowerFile);
    const mapped = await place.client.call<{ seconds: number; sum: string }>(['mmap', lowerFile]);
    verify('sum of the words', mapped.sum, sum);
    const reads = { first, again, random: randomRead, mmap: bytes / 2 ** 20 / mapped.seconds };
    if (place.system === 'fuse-native') return reads; // which is all that it can
    const write = await whole('write', newFile);
    const overwrite = await random('write', newFile);
    verify('size of what was written', fs.statSync(newFile).size, bytes);
    const own = await whole('read', newFile);
    return { ...reads, write, overwrite, own };
  },
});
