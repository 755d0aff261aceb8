/** The launchers in dist/bin, met by another Node.js than plyfs was built for. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { leftBehind, removeDirectory, temporaryDirectory } from '../support/leaks.js';

const BIN = path.resolve(__dirname, '../../bin');

/** A directory with a `node` that says it is another one. */
function otherNode(directory: string, node: string, modules: string): string {
  const versions = { ...process.versions, node, modules };
  const lie = path.join(directory, 'lie.cjs');
  fs.writeFileSync(lie, `Object.defineProperty(process, 'versions', { value: ${JSON.stringify(versions)} });\n`);
  fs.writeFileSync(path.join(directory, 'node'), `#!/bin/sh\nexec '${process.execPath}' --require '${lie}' "$@"\n`, { mode: 0o755 });
  return directory;
}

function launch(directory: string, program: string): { status: number | null; stdout: string; stderr: string } {
  const { NODE_OPTIONS: _, ...rest } = process.env; // tap's
  const env = { ...rest, PATH: `${directory}:${process.env['PATH']}` };
  return spawnSync(path.join(BIN, program), ['--version'], { env, encoding: 'utf8', timeout: 60_000 });
}

void t.test('a Node.js that cannot run plyfs is told in a sentence: which it is, where, and what to do', async (t) => {
  const { node, modules } = process.versions;
  const refused = (program: string, version: string): object => ({
    status: 1,
    stdout: '',
    stderr: new RegExp(
      `^${program}: this is Node.js ${version.replaceAll('.', '\\.')} \\(/.*\\), and plyfs was built for \\d+: ` +
        'put that one first in PATH, or build plyfs with this one \\(20.19 or later\\)\\n$',
    ),
  });
  const works = { status: 0, stdout: /\d+\.\d+\.\d+\n$/, stderr: '' };
  const rows: [version: string, modules: string, ply: object, plyd: object][] = [
    ['18.20.4', '108', refused('ply', '18.20.4'), refused('plyd', '18.20.4')],
    ['20.18.3', modules, refused('ply', '20.18.3'), refused('plyd', '20.18.3')],
    ['20.19.0', modules, works, works],
    [node, modules, works, works],
    // ply has no addon: it works with any that is new enough. plyd's catalog is for one ABI.
    ['99.1.0', '999', works, refused('plyd', '99.1.0')],
  ];
  for (const [version, abi, ply, plyd] of rows) {
    const directory = temporaryDirectory();
    try {
      otherNode(directory, version, abi);
      t.match(launch(directory, 'ply'), ply, `ply with ${version}`);
      t.match(launch(directory, 'plyd'), plyd, `plyd with ${version}`);
    } finally {
      await removeDirectory(directory);
    }
  }
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));
