// Compares every size, offset and number that daemon/protocol writes down with the <linux/fuse.h> that the addon was compiled with.
//
//   node dist/scripts/check-protocol.js
//
// What that header is too old to know is named and not compared. Status 1 when something disagrees, or when too little could be compared for
// the check to mean anything. Const enums leave nothing behind at run time, so the values are taken from the sources.

import fs from 'node:fs';
import path from 'node:path';
import vm from 'node:vm';
import ts from 'typescript';
import { native } from '../native-bindings';

const root = path.resolve(__dirname, '../..');
const ENOUGH = 200;

/** What comes before the name of a member in the header. Enums of layout.ts are structures instead. */
const PREFIX: Record<string, string> = {
  Version: 'FUSE_',
  Limit: 'FUSE_',
  Opcode: 'FUSE_',
  Cuse: 'CUSE_',
  NotifyCode: 'FUSE_NOTIFY_',
  InitFlag: 'FUSE_',
  InitFlag2: 'FUSE_',
  GetattrFlag: 'FUSE_GETATTR_',
  OpenFlag: 'FUSE_OPEN_',
  ReadFlag: 'FUSE_READ_',
  WriteFlag: 'FUSE_WRITE_',
  ReleaseFlag: 'FUSE_RELEASE_',
  FsyncFlag: 'FUSE_FSYNC_',
  SetxattrFlag: 'FUSE_SETXATTR_',
  LkFlag: 'FUSE_LK_',
  PollFlag: 'FUSE_POLL_',
  IoctlFlag: 'FUSE_IOCTL_',
  AttrFlag: 'FUSE_ATTR_',
  InvalEntryFlag: 'FUSE_',
  ExtType: 'FUSE_',
  DeviceIoctl: 'FUSE_DEV_IOC_',
  UringCommand: 'FUSE_IO_URING_CMD_',
  Fattr: 'FATTR_',
  Fopen: 'FOPEN_',
};

/** Members that are none of the header's, or under another prefix. */
const RENAMED: Record<string, string | undefined> = {
  'Opcode.END': undefined,
  'Version.KERNEL_MINOR_VERSION': undefined, // ours, and the header may be older or newer
  'Cuse.FUSE_INIT_BSWAP_RESERVED': 'FUSE_INIT_BSWAP_RESERVED',
  'IoctlFlag._32BIT': 'FUSE_IOCTL_32BIT',
};

type Enums = Map<string, Map<string, number>>;

/** The enums that a source declares, by name, and their members. */
function enumsOf(file: string): Enums {
  const source = ts.createSourceFile(file, fs.readFileSync(path.join(root, file), 'utf8'), ts.ScriptTarget.ES2022);
  const declarations = source.statements.filter((statement) => ts.isEnumDeclaration(statement));
  const text = declarations.map((one) => one.getText(source).replace(/^(export )?(const )?/, '')).join('\n');
  const names = declarations.map((one) => one.name.text);
  const code = ts.transpile(`${text}\n({ ${names.join(', ')} })`, { target: ts.ScriptTarget.ES2022 });
  const values = vm.runInNewContext(code) as Record<string, Record<string, unknown>>;
  return new Map(
    names.map((name) => [
      name,
      new Map(Object.entries(values[name]).filter((entry): entry is [string, number] => typeof entry[1] === 'number')),
    ]),
  );
}

const snake = (name: string): string => name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toLowerCase();

const differences: string[] = [];
const unknown: string[] = [];
let compared = 0;

function compare(what: string, name: string, ours: number, theirs: number | undefined = native.fuseHeader(name)): void {
  if (theirs === undefined) {
    unknown.push(name);
    return;
  }
  compared++;
  if (ours !== theirs) differences.push(`${what} is ${ours}, but ${name} is ${theirs}`);
}

function compareStructures(enums: Enums): void {
  for (const [name, members] of enums) {
    const struct = name.startsWith('Cuse') ? snake(name) : `fuse_${snake(name)}`;
    for (const [member, value] of members) {
      compare(`${name}.${member}`, member === 'SIZE' ? `sizeof:${struct}` : `offsetof:${struct}.${member}`, value);
    }
  }
}

function compareNumbers(enums: Enums, all: boolean): void {
  for (const [name, members] of enums) {
    const prefix = PREFIX[name];
    if (prefix === undefined) {
      if (all) differences.push(`${name} has no row in the table PREFIX of scripts/check-protocol.ts`);
      continue;
    }
    for (const [member, value] of members) {
      const full = `${name}.${member}`;
      const header = full in RENAMED ? RENAMED[full] : prefix + member;
      if (header !== undefined) compare(full, header, (value >>> 0) * (name === 'InitFlag2' ? 2 ** 32 : 1));
    }
  }
}

/** attributes.ts mirrors what of a stat record is not in struct fuse_attr. */
function compareStatRecord(): void {
  const record = enumsOf('native-bindings/index.ts').get('StatRecord') ?? new Map<string, number>();
  const ours = [
    ...(enumsOf('daemon/protocol/attributes.ts').get('StatTail') ?? []),
    ...(enumsOf('daemon/protocol/layout.ts').get('Attr') ?? []),
  ];
  for (const [member, value] of ours)
    if (member !== 'SIZE') compare(`protocol's ${member}`, `StatRecord.${member}`, value, record.get(member));
}

compareStructures(enumsOf('daemon/protocol/layout.ts'));
compareNumbers(enumsOf('daemon/protocol/abi.ts'), true);
compareNumbers(enumsOf('daemon/protocol/operations.ts'), false);
compareStatRecord();

for (const difference of differences) console.error(difference);
if (unknown.length > 0)
  console.log(`not in this header (7.${native.fuseHeader('FUSE_KERNEL_MINOR_VERSION') ?? '?'}): ${unknown.join(' ')}`);
console.log(`protocol: ${compared} numbers compared with <linux/fuse.h>, ${differences.length} differ, ${unknown.length} not in it`);
if (compared < ENOUGH) console.error(`${compared} comparisons say nothing: at least ${ENOUGH} are expected`);
process.exitCode = differences.length > 0 || compared < ENOUGH ? 1 : 0;
