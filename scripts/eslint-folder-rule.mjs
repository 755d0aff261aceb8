// The dependency rule between folders (ARCHITECTURE.md), as an ESLint rule whose message names what is allowed.
//
// The table has one row per folder or file; the longest row that covers a file is the one that counts. A folder may always import itself,
// and Node's own modules. `may` lists what else of ours it may import; an entry that ends in ' (types)' only by `import type`.
// `packages`, where present, lists the npm packages it may import; absent, it may import any.
// test/ and scripts/ have no row: they may import anything.

import path from 'node:path';

export const rows = [
  { from: 'native-bindings', may: [], packages: [] },

  { from: 'daemon/main', may: ['daemon'] },
  { from: 'daemon/listen', may: ['daemon/config', 'daemon/mounts'] },
  { from: 'daemon/service', may: ['daemon/config', 'native-bindings'], packages: [] },
  { from: 'daemon/config', may: ['daemon/config-file', 'daemon/mounts/options', 'daemon/runtime'], packages: [] },
  { from: 'daemon/config-file', may: ['daemon/mounts/options', 'daemon/runtime'], packages: ['smol-toml'] },
  { from: 'daemon/config-shown', may: ['daemon/config', 'daemon/config-file'], packages: ['smol-toml'] },
  { from: 'daemon/log', may: ['daemon/errno'] },
  { from: 'daemon/errno', may: [], packages: [] },
  { from: 'daemon/runtime', may: [], packages: [] },
  { from: 'daemon/bundled', may: [], packages: [] },

  { from: 'daemon/protocol', may: ['daemon/errno'], packages: [] },
  { from: 'daemon/overlay', may: ['daemon/layers', 'daemon/protocol/operations', 'daemon/errno'], packages: [] },
  {
    from: 'daemon/overlay/table',
    may: ['daemon/overlay', 'daemon/layers', 'daemon/protocol/operations', 'daemon/errno', 'native-bindings'],
    packages: [],
  },
  { from: 'daemon/layers', may: ['native-bindings', 'daemon/store', 'daemon/errno'], packages: [] },
  {
    from: 'daemon/engine',
    may: [
      'daemon/protocol',
      'daemon/overlay',
      'daemon/layers',
      'daemon/mounts/options',
      'daemon/mounts/plan',
      'native-bindings',
      'daemon/log',
      'daemon/errno',
      'daemon/config',
      'daemon/runtime',
      'daemon/bundled',
    ],
  },

  {
    from: 'daemon/mounts',
    may: [
      'native-bindings',
      'daemon/store',
      'daemon/api/types (types)',
      'daemon/engine/control (types)',
      'daemon/engine/control-channel',
      'daemon/engine/rendezvous',
      'daemon/engine/privileges',
      'daemon/errno',
      'daemon/log',
      'daemon/config',
      'daemon/runtime',
    ],
  },
  { from: 'daemon/store', may: ['daemon/api/types (types)', 'daemon/errno'], packages: ['better-sqlite3'] },
  // Layers hold names that are not UTF-8, paths longer than PATH_MAX, and xattrs: Node reaches none of these.
  { from: 'daemon/store/tree', may: ['daemon/store', 'daemon/errno', 'native-bindings'], packages: [] },
  // syncfs
  { from: 'daemon/store/objects', may: ['daemon/store', 'native-bindings'], packages: [] },
  {
    from: 'daemon/images',
    may: ['daemon/store', 'daemon/mounts', 'daemon/api/types (types)', 'native-bindings', 'daemon/errno', 'daemon/log', 'daemon/config'],
  },
  {
    from: 'daemon/snapshotter',
    may: ['daemon/mounts', 'daemon/store', 'daemon/errno', 'daemon/log'],
    packages: ['@grpc/grpc-js', '@grpc/proto-loader'],
  },
  { from: 'daemon/api', may: ['daemon/images', 'daemon/mounts', 'daemon/store', 'daemon/errno', 'daemon/log', 'daemon/config'] },

  { from: 'client', may: ['daemon/api (types)'], packages: [] },
  { from: 'cli', may: ['client', 'daemon/api (types)', 'daemon/bundled'] },
  // Both only for what can be typed: the tables of plyd's and the mounts' options.
  { from: 'cli/completion', may: ['cli', 'client', 'daemon/config', 'daemon/mounts/options'] },
  { from: 'cli/plyd', may: ['daemon/main'] },
  { from: 'cli/plyfs', may: ['cli', 'daemon/api (types)', 'daemon/mounts', 'daemon/runtime', 'native-bindings'] },
];

const UNRESTRICTED = ['test', 'scripts'];
const TYPES = ' (types)';
const RULE_FILE = 'scripts/eslint-folder-rule.mjs';

/** Does `folder` hold `module`, or is it that module? Both are paths from the repository's root without an extension. */
function covers(folder, module) {
  return module === folder || module.startsWith(folder + '/');
}

function rowFor(module) {
  let best;
  for (const row of rows) if (covers(row.from, module) && (best === undefined || row.from.length > best.from.length)) best = row;
  return best;
}

/** What is wrong with this import, as the text to show; undefined when it is allowed. */
function complaint(row, target, typesOnly) {
  if (covers(row.from, target)) return undefined;
  for (const entry of row.may) {
    if (!entry.endsWith(TYPES)) {
      if (covers(entry, target)) return undefined;
    } else if (covers(entry.slice(0, -TYPES.length), target)) {
      return typesOnly ? undefined : `${row.from} may import ${target} only with "import type". ${allowed(row)}`;
    }
  }
  return `${row.from} may not import ${target}. ${allowed(row)}`;
}

function allowed(row) {
  const ours = [row.from, ...row.may].join(', ');
  const packages = row.packages === undefined ? 'any npm package' : row.packages.length > 0 ? `the package ${row.packages.join(', ')}` : '';
  return `It may import ${ours}${packages && ', ' + packages} and Node's own modules (the table is in ${RULE_FILE}).`;
}

const withoutExtension = (file) => file.replace(/(\.d)?\.[cm]?[jt]s$/, '');

const folderRule = {
  meta: {
    type: 'problem',
    docs: { description: 'the dependency rule between folders' },
    messages: { wrong: '{{text}}' },
    schema: [],
  },
  create(context) {
    const here = withoutExtension(path.relative(context.cwd, context.filename).split(path.sep).join('/'));
    if (UNRESTRICTED.some((folder) => covers(folder, here)) || !here.includes('/')) return {};
    const row = rowFor(here);
    if (row === undefined) {
      const text = `${path.posix.dirname(here)} has no row in ${RULE_FILE}: add one that says what it may import.`;
      return { Program: (node) => context.report({ node, messageId: 'wrong', data: { text } }) };
    }

    function check(source, typesOnly) {
      if (source?.type !== 'Literal' || typeof source.value !== 'string') return;
      const text = source.value.startsWith('.') ? ours(source.value, typesOnly) : npm(source.value);
      if (text !== undefined) context.report({ node: source, messageId: 'wrong', data: { text } });
    }
    function ours(specifier, typesOnly) {
      const module = withoutExtension(path.posix.join(path.posix.dirname(here), specifier)).replace(/\/index$|\/$/, '');
      return complaint(row, module, typesOnly);
    }
    function npm(specifier) {
      if (specifier.startsWith('node:') || row.packages === undefined) return undefined;
      const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
      return row.packages.includes(name) ? undefined : `${row.from} may not import the package ${name}. ${allowed(row)}`;
    }
    /** `import type …`, or every name in the braces marked with `type`. */
    function typesOnlyDeclaration(node, kind) {
      if (node[kind] === 'type') return true;
      return node.specifiers?.length > 0 && node.specifiers.every((specifier) => specifier[kind] === 'type');
    }

    return {
      ImportDeclaration: (node) => check(node.source, typesOnlyDeclaration(node, 'importKind')),
      ExportNamedDeclaration: (node) => check(node.source, typesOnlyDeclaration(node, 'exportKind')),
      ExportAllDeclaration: (node) => check(node.source, node.exportKind === 'type'),
      ImportExpression: (node) => check(node.source, false),
      TSImportType: (node) => check(node.source ?? node.argument?.literal, true),
      TSExternalModuleReference: (node) => check(node.expression, node.parent?.importKind === 'type'),
      'CallExpression[callee.name="require"]': (node) => check(node.arguments[0], false),
    };
  },
};

export default { meta: { name: 'plyfs' }, rules: { 'folder-rule': folderRule } };
