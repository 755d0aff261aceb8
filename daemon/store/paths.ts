/** Paths below a layer: bytes, which people see as text. */

/** UTF-8 as it is; each byte that is none, and control characters, as \xNN. The root itself is ".". */
export function displayPath(path: Buffer): string {
  if (path.length === 0) return '.';
  const text = path.toString('utf8');
  if (!/[\u0000-\u001f\u007f\ufffd]/.test(text)) return text;
  let shown = '';
  for (let at = 0; at < path.length;) {
    const length = characterAt(path, at);
    shown += length > 0 ? path.toString('utf8', at, at + length) : `\\x${path[at].toString(16).padStart(2, '0')}`;
    at += Math.max(1, length);
  }
  return shown;
}

/** Bytes of the printable UTF-8 character at `at`; 0: there is none. */
function characterAt(path: Buffer, at: number): number {
  const lead = path[at];
  if (lead < 0x80) return lead < 0x20 || lead === 0x7f ? 0 : 1;
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (at + length > path.length) return 0;
  const bytes = path.subarray(at, at + length);
  return Buffer.from(bytes.toString('utf8')).equals(bytes) ? length : 0;
}

export function joinPath(directory: Buffer, name: Buffer): Buffer {
  return directory.length === 0 ? name : Buffer.concat([directory, SLASH, name]);
}

const SLASH = Buffer.from('/');
