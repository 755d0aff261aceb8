/** Images go out and come to other tools as they are here. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { ExportResult, HistoryEntry } from '../../daemon/api/types.js';
import { leftBehind, type Plyd, sh, testWithPlyd } from '../plyd/daemon.js';
import { lines } from './support.js';

testWithPlyd('x', async (t, plyd) => {
  await plyd.image();
  const file = `${plyd.base}/img.tar`;
  const { result } = await lines<ExportResult>(plyd, 'POST', '/v1/images/img/export', { path: file });
  t.match(result, { image: /^/, path: file, layers: [{}, {}] });
  console.error(execFileSync('tar', ['-tvf', file]).toString());
});
