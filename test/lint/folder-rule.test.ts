import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { ESLint, Linter } from 'eslint';
import t from 'tap';
import { parser } from 'typescript-eslint';

const root = path.resolve(__dirname, '../../..');

/** What the folder rule says about `code` if it stood in `file`. */
async function complaints(file: string, code: string): Promise<string[]> {
  const plugin = (await import(pathToFileURL(path.join(root, 'scripts/eslint-folder-rule.mjs')).href)) as { default: ESLint.Plugin };
  const linter = new Linter({ cwd: root });
  const config: Linter.Config = {
    files: ['**/*.ts'],
    plugins: { plyfs: plugin.default },
    rules: { 'plyfs/folder-rule': 'error' },
    languageOptions: { parser: parser },
  };
  return linter.verify(code, [config], { filename: path.join(root, file) }).map((message) => message.message);
}

const allowed: [file: string, code: string][] = [
  ['daemon/protocol/decode.ts', "import { Errno } from '../errno';"],
  ['daemon/protocol/decode.ts', "import { Reader } from './reader';"],
  ['daemon/protocol/decode.ts', "import fs from 'node:fs';"],
  ['daemon/overlay/lookup.ts', "import { Operation } from '../protocol/operations';"],
  ['daemon/overlay/lookup.ts', "import { open } from './table/open'; import { Lower } from '../layers';"],
  ['daemon/overlay/table/memory.ts', "import { mapShared } from '../../../native-bindings';"],
  ['daemon/layers/directory.ts', "import { openat } from '../../native-bindings/index';"],
  ['daemon/engine/session.ts', "import { decode } from '../protocol/decode'; import { options } from '../mounts/options';"],
  ['daemon/mounts/supervisor.ts', "import type { Control } from '../engine/control';"],
  ['daemon/mounts/supervisor.ts', "import { type Control } from '../engine/control';"],
  ['daemon/store/catalog.ts', "import Database from 'better-sqlite3';"],
  ['daemon/main.ts', "import { api } from './api/server';"],
  ['cli/ls.ts', "import type { Layer } from '../daemon/api/types';"],
  ['cli/plyfs.ts', "import { mount } from '../daemon/mounts/mount'; import native from '../native-bindings';"],
  ['test/overlay/lookup.test.ts', "import { decode } from '../../daemon/protocol/decode';"],
  ['scripts/check-protocol.ts', "import { decode } from '../daemon/protocol/decode';"],
];

const refused: [file: string, code: string, target: string, mayImport: string][] = [
  ['native-bindings/index.ts', "import { Errno } from '../daemon/errno';", 'daemon/errno', 'native-bindings and'],
  ['daemon/protocol/decode.ts', "import { Lower } from '../layers/lower';", 'daemon/layers/lower', 'daemon/protocol, daemon/errno and'],
  ['daemon/protocol/decode.ts', "import native from '../../native-bindings';", 'native-bindings', 'daemon/errno'],
  ['daemon/protocol/decode.ts', "import type { Lower } from '../layers/lower';", 'daemon/layers/lower', 'daemon/errno'],
  ['daemon/protocol/decode.ts', "import pino from 'pino';", 'the package pino', 'daemon/errno'],
  ['daemon/overlay/lookup.ts', "import { decode } from '../protocol/decode';", 'daemon/protocol/decode', 'daemon/protocol/operations'],
  ['daemon/overlay/lookup.ts', "export * from '../protocol/encode';", 'daemon/protocol/encode', 'daemon/protocol/operations'],
  ['daemon/overlay/lookup.ts', "const native = require('../../native-bindings');", 'native-bindings', 'daemon/layers'],
  ['daemon/overlay/lookup.ts', "import native = require('../../native-bindings');", 'native-bindings', 'daemon/layers'],
  ['daemon/overlay/lookup.ts', "type Native = import('../../native-bindings').Native;", 'native-bindings', 'daemon/layers'],
  [
    'daemon/layers/directory.ts',
    "import { Node } from '../overlay/node';",
    'daemon/overlay/node',
    'native-bindings, daemon/store, daemon/errno',
  ],
  ['daemon/engine/session.ts', "import { mount } from '../mounts/mount';", 'daemon/mounts/mount', 'daemon/mounts/options'],
  ['daemon/store/catalog.ts', "import pino from 'pino';", 'the package pino', 'the package better-sqlite3'],
  ['daemon/images/export.ts', "import { x } from '../overlay/mount';", 'daemon/overlay/mount', 'daemon/store'],
  [
    'daemon/api/server.ts',
    "const engine = await import('../engine/main');",
    'daemon/engine/main',
    'daemon/images, daemon/mounts, daemon/store',
  ],
  ['cli/ls.ts', "import { mount } from '../daemon/mounts/mount';", 'daemon/mounts/mount', 'daemon/api (types)'],
];

t.test('what the table allows passes', async (t) => {
  for (const [file, code] of allowed) t.same(await complaints(file, code), [], `${file}: ${code}`);
});

t.test('what it does not allow is refused, and the message names what is allowed', async (t) => {
  for (const [file, code, target, mayImport] of refused) {
    const found = await complaints(file, code);
    t.equal(found.length, 1, `${file}: ${code}`);
    t.ok(found[0]?.includes(`may not import ${target}. `), found[0] ?? 'nothing was said');
    t.ok(found[0]?.includes('It may import ') && found[0].includes(mayImport), `names ${mayImport}`);
  }
});

t.test('where only types may be imported, a value is refused', async (t) => {
  const found = await complaints('cli/ls.ts', "import { serve } from '../daemon/api/server';");
  t.equal(found.length, 1);
  t.match(found[0], 'cli may import daemon/api/server only with "import type"');
});

t.test('a folder without a row is refused until it has one', async (t) => {
  t.match(await complaints('daemon/elsewhere/file.ts', 'export {};'), [
    /^daemon\/elsewhere has no row in scripts\/eslint-folder-rule\.mjs/,
  ]);
});

t.test("the repository's own ESLint configuration uses the rule", async (t) => {
  const config = (await new ESLint({ cwd: root }).calculateConfigForFile(path.join(root, 'daemon/overlay/lookup.ts'))) as Linter.Config;
  t.match(config.rules, { 'plyfs/folder-rule': [2] });
});
