/**
 * For tests only: PLYD_PAUSE_AT=point[,point…] has plyd stop for a while wherever it comes to such a point, after it has said so in the file that
 * PLYD_PAUSE_FILE names, so that it can be killed there.
 */
import fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const points = new Set((process.env['PLYD_PAUSE_AT'] ?? '').split(',').filter((point) => point !== ''));
const PAUSE_MS = 1500;

export async function pauseAt(point: string): Promise<void> {
  if (!points.has(point)) return;
  const file = process.env['PLYD_PAUSE_FILE'];
  if (file !== undefined) fs.appendFileSync(file, `${point}\n`);
  await sleep(PAUSE_MS);
}
