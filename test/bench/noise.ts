/**
 * Was the machine quiet? Before each measurement a loop that touches no file runs on every CPU at once. If others use the CPUs its wall time exceeds its
 * processor time; if the hypervisor takes them away, or the clock falls, both grow. /proc/stat has the time that was stolen.
 */
import fs from 'node:fs';
import os from 'node:os';
import type { Client } from './client.js';
import { median, percentile } from './statistics.js';

export interface Noise {
  /** wall times of the loop, in ms */
  calibration: number[];
  /** the loop's 90th percentile over the best of the whole run */
  slowdown: number;
  /** per cent of the loop's wall time in which others had its CPU (median) */
  taken: number;
  /** per cent of all CPU time that the hypervisor took */
  stolen: number;
  noisy: boolean;
}

const MOST_SLOWDOWN = 1.15;
const MOST_TAKEN = 5;
const MOST_STOLEN = 2;

interface Sample {
  wall: number;
  cpu: number;
}

function cpuTimes(): { total: number; stolen: number } {
  const fields = fs.readFileSync('/proc/stat', 'latin1').split('\n')[0].split(/\s+/).slice(1, 9).map(Number);
  return { total: fields.reduce((sum, field) => sum + field, 0), stolen: fields[7] };
}

/** Of one run: a part for each row. */
export class NoiseMeter {
  private samples: Sample[] = [];
  private start = cpuTimes();
  private best = Infinity;

  constructor(private readonly client: Client) {}

  beginRow(): void {
    this.samples = [];
    this.start = cpuTimes();
  }

  async sample(): Promise<void> {
    const { seconds, cpu } = await this.client.call<{ seconds: number; cpu: number }>(['calibrate', os.availableParallelism()]);
    this.samples.push({ wall: seconds * 1000, cpu: cpu * 1000 });
    this.best = Math.min(this.best, seconds * 1000);
  }

  endRow(): Noise {
    const now = cpuTimes();
    const calibration = this.samples.map(({ wall }) => wall);
    const slowdown = this.samples.length === 0 ? 1 : percentile(calibration, 90) / this.best;
    const taken = this.samples.length === 0 ? 0 : 100 * median(this.samples.map(({ wall, cpu }) => 1 - cpu / wall));
    const stolen = (100 * (now.stolen - this.start.stolen)) / Math.max(1, now.total - this.start.total);
    return { calibration, slowdown, taken, stolen, noisy: slowdown > MOST_SLOWDOWN || taken > MOST_TAKEN || stolen > MOST_STOLEN };
  }
}

export function describeNoise({ slowdown, taken, stolen }: Noise): string {
  const parts = [
    `the reference loop took up to ${slowdown.toFixed(2)} times its best`,
    `others had ${Math.max(0, taken).toFixed(0)} % of its CPUs`,
    `${stolen.toFixed(1)} % stolen`,
  ];
  return parts.join(', ');
}
