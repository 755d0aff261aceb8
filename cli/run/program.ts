/** Programs of this machine that ply needs. */
import fs from 'node:fs';
import path from 'node:path';
import { PlyError } from '../../client/errors';

/** Where this machine has it, as its PATH says. */
export function program(name: string, debian: string, instead = ''): string {
  const places = [...(process.env['PATH'] ?? '').split(':'), '/usr/bin', '/usr/sbin', '/bin', '/sbin'];
  const found = places.filter((one) => path.isAbsolute(one)).find((one) => isExecutable(path.join(one, name)));
  if (found !== undefined) return path.join(found, name);
  throw new PlyError({ code: 'failed', message: `there is no ${name} here: install it (apt-get install ${debian})${instead}` });
}

function isExecutable(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}
