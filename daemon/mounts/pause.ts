/**
 * For tests only: PLYD_PAUSE_AT=point[,point…] has plyd stop where it comes to such a point first, after it has said so in the file that PLYD_PAUSE_FILE
 * names, so that it, or an engine, can be killed there. It goes on when that file is removed.
 */
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const points = new Set((process.env['PLYD_PAUSE_AT'] ?? '').split(',').filter((point) => point !== ''));
const LONGEST_MS = 10_000;
const LOOK_MS = 20;

export async function pauseAt(point: string): Promise<void> {
  const file = process.env['PLYD_PAUSE_FILE'];
  if (file === undefined || !points.delete(point)) return;
  fs.appendFileSync(file, `${point}\n`);
  for (const end = Date.now() + LONGEST_MS; Date.now() < end && fs.existsSync(file);) await sleep(LOOK_MS);
}
