/** debian/copyright, machine-readable, of our licence and of those of all npm packages that come along. */
import fs from 'node:fs';
import path from 'node:path';
import { licenceFiles, productionPackages } from './packages.js';

interface Described {
  name: string;
  version: string;
  license?: string;
  author?: string | { name?: string };
}

/** As a field's continuation: indented, empty lines as dots. */
function indented(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => (line.trim() === '' ? ' .' : ` ${line.trimEnd()}`))
    .join('\n');
}

function stanza(root: string, directory: string): string {
  const place = path.join(root, directory);
  const { name, version, license, author } = JSON.parse(fs.readFileSync(path.join(place, 'package.json'), 'utf8')) as Described;
  const texts = licenceFiles(place).map((file) => inDebian(fs.readFileSync(path.join(place, file), 'utf8')));
  const holders = texts.flatMap((text) => text.match(/^.*copyright (?:\(c\)|©|\d{4}).*$/gim) ?? []).map((line) => line.trim());
  const authorName = typeof author === 'string' ? author : author?.name;
  const owners = holders.length > 0 ? [...new Set(holders)] : [authorName ?? `the authors of ${name}`];
  const text = texts.length > 0 ? texts.join('\n\n') : `${name} ${version} says in its package.json: license ${license ?? 'unknown'}.`;
  const short = `${(license ?? 'other').replace(/[^A-Za-z0-9.+-]+/g, '-')}-${name.replace(/[^a-z0-9.-]+/gi, '-').replace(/^-/, '')}`;
  return `Files: usr/lib/plyfs/${directory}/*\nCopyright: ${owners.join('\n ')}\nLicense: ${short}\n${indented(text)}\n`;
}

/** A licence that every Debian system has is named, not said again (Debian policy 12.5). */
function inDebian(text: string): string {
  return /Apache License\s+Version 2\.0, January 2004/.test(text)
    ? 'On Debian systems the text of the Apache License 2.0 is in\n/usr/share/common-licenses/Apache-2.0.'
    : text;
}

export function copyright(root: string): string {
  const own = `Files: *\nCopyright: the plyfs authors\nLicense: Apache-2.0\n On Debian systems the text of this licence is in\n /usr/share/common-licenses/Apache-2.0.\n`;
  const header = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: plyfs\nComment: better-sqlite3 contains SQLite, which is in the public domain.\n`;
  return [header, own, ...productionPackages(root).map((directory) => stanza(root, directory))].join('\n');
}
