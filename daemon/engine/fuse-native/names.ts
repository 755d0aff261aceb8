/**
 * Names as fuse-native has them: JavaScript's strings, decoded from UTF-8. What is no UTF-8 is decoded with U+FFFD in it, and so is U+FFFD itself: a name
 * with that character may stand for any of several files, and stands for none here.
 */
import { isUtf8 } from 'node:buffer';

const REPLACEMENT = '\ufffd';

/** undefined: it cannot be told apart from others. */
export function decodeName(bytes: Buffer): string | undefined {
  if (!isUtf8(bytes)) return undefined;
  const text = bytes.toString();
  return isAmbiguous(text) ? undefined : text;
}

export function isAmbiguous(text: string): boolean {
  return text.includes(REPLACEMENT);
}
