/** A file's xattrs in one piece of bytes, as an index keeps them. */

export interface Xattr {
  name: Buffer;
  value: Buffer;
}

/** Sorted by the bytes of the names; each as u16 length and name, u32 length and value, little-endian. Null when there are none. */
export function encodeXattrs(xattrs: readonly Xattr[]): Buffer | null {
  if (xattrs.length === 0) return null;
  const parts: Buffer[] = [];
  for (const { name, value } of [...xattrs].sort((a, b) => Buffer.compare(a.name, b.name))) {
    const lengths = Buffer.alloc(6);
    lengths.writeUInt16LE(name.length);
    lengths.writeUInt32LE(value.length, 2);
    parts.push(lengths.subarray(0, 2), name, lengths.subarray(2), value);
  }
  return Buffer.concat(parts);
}

export function decodeXattrs(encoded: Buffer | null): Xattr[] {
  const xattrs: Xattr[] = [];
  for (let at = 0; encoded !== null && at < encoded.length;) {
    const nameEnd = at + 2 + encoded.readUInt16LE(at);
    const valueEnd = nameEnd + 4 + encoded.readUInt32LE(nameEnd);
    xattrs.push({ name: encoded.subarray(at + 2, nameEnd), value: encoded.subarray(nameEnd + 4, valueEnd) });
    at = valueEnd;
  }
  return xattrs;
}

/** What an overlay notes about where an upper came from and lies: it differs between two copies of one tree, and says nothing about what is in it. */
const BOOKKEEPING = /^(trusted|user)\.overlay\.(origin|impure|nlink|uuid)$/;

/** The xattrs that belong to the tree. */
export function ownXattrs(encoded: Buffer | null): Buffer | null {
  if (encoded === null) return null;
  return encodeXattrs(decodeXattrs(encoded).filter(({ name }) => !BOOKKEEPING.test(name.toString('latin1'))));
}
