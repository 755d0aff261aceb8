/**
 * containerd's filters (its package filters): `kind==active`, `labels."a.b/c"!=x`, `name~=/^default/`, `labels.here`, joined by commas: all of them must hold.
 * Fields: name, parent, kind, labels.NAME. White space may stand before a word, not behind the last one of a selector. Other than with containerd, a pattern
 * is JavaScript's, but for what `translated` knows of RE2's.
 */
import { CatalogError, quoted } from '../store';
import type { SnapshotInfo } from '../store';

export type Filter = (info: SnapshotInfo) => boolean;

type Operator = '==' | '!=' | '~=';

/** True where one of the filters holds, or where there are none; the empty one always does. Throws CatalogError (bad-request). */
export function anyOf(filters: readonly string[]): Filter {
  const all = filters.map((text) => (text === '' ? [] : new Parser(text).selectors()));
  return (info) => all.length === 0 || all.some((selectors) => selectors.every((holds) => holds(info)));
}

const SPACE = /\s+/y;
const FIELD = /[A-Za-z0-9_]+/y;
const OPERATOR = /[=!~]+/y;
const OPERATORS: readonly string[] = ['==', '!=', '~='] satisfies Operator[];
/** Everything that can be seen, but a comma; what begins as a quote, an operator or a dot is none. */
const BARE = /[^\s\p{C},."/|=!~][^\s\p{C},]*/uy;
const QUOTED = /"(?:[^"\\\n]|\\.)*"/y;
/** For regular expressions, in which there are many quotation marks. */
const BETWEEN = /\/(?:[^/\\\n]|\\.)*\/|\|(?:[^|\\\n]|\\.)*\|/y;
/** Of strings of Go, whatever they stand between. */
const ESCAPE = /\\(?:([abfnrtv\\])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))/gsu;
const CONTROLS: Readonly<Record<string, string>> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v', '\\': '\\' };

class Parser {
  private at = 0;

  constructor(private readonly text: string) {}

  selectors(): Filter[] {
    const found = [this.selector()];
    while (this.take(/,/y) !== undefined) found.push(this.selector());
    if (this.at < this.text.length) throw this.wrong('something else begins');
    return found;
  }

  private selector(): Filter {
    const path = [this.field()];
    while (this.take(/\./y) !== undefined) path.push(this.field());
    const read = this.reader(path);
    if (this.at === this.text.length || this.text[this.at] === ',') return (info) => read(info) !== undefined;
    const operator = this.operator();
    const value = this.value(operator);
    switch (operator) {
      case '==':
        return (info) => read(info) === value;
      case '!=':
        return (info) => (read(info) ?? '') !== value;
      case '~=': {
        const pattern = translated(value);
        return (info) => pattern !== undefined && pattern.test(read(info) ?? '');
      }
    }
  }

  private field(): string {
    const quoted = this.word(QUOTED);
    const name = quoted === undefined ? this.take(FIELD) : this.unquote(quoted);
    if (name === undefined) throw this.wrong('a field is missing');
    return name;
  }

  private operator(): Operator {
    const operator = this.word(OPERATOR) ?? '';
    if (!OPERATORS.includes(operator)) throw this.wrong(`an operator is missing: ${OPERATORS.join(', ')}`);
    return operator as Operator;
  }

  private value(operator: Operator): string {
    const quoted = this.word(QUOTED) ?? (operator === '~=' ? this.take(BETWEEN) : undefined);
    if (quoted !== undefined) return this.unquote(quoted);
    const bare = this.take(BARE);
    if (bare === undefined) throw this.wrong('a value is missing');
    return bare;
  }

  private reader([first, ...rest]: readonly string[]): (info: SnapshotInfo) => string | undefined {
    if (first === 'labels') {
      const name = rest.join('.');
      return ({ labels }) => (Object.hasOwn(labels, name) ? labels[name] : undefined);
    }
    if (first === 'name') return ({ key }) => key;
    if (first === 'parent') return ({ parent }) => parent;
    if (first === 'kind') return ({ kind }) => kind;
    return () => undefined; // containerd's own answer to a field that it does not know
  }

  private unquote(text: string): string {
    return text
      .slice(1, -1)
      .replace(ESCAPE, (escape, control?: string, x?: string, u?: string, U?: string, octal?: string, other?: string) => {
        if (control !== undefined) return CONTROLS[control];
        if (other !== undefined && other === text[0]) return other;
        const code = octal === undefined ? parseInt(x ?? u ?? U ?? '', 16) : parseInt(octal, 8);
        if (!(code <= 0x10ffff)) throw this.wrong(`${text} has an escape that is not known, ${escape}`);
        return String.fromCodePoint(code);
      });
  }

  /** With white space before it. */
  private word(pattern: RegExp): string | undefined {
    this.take(SPACE);
    return this.take(pattern);
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }

  private wrong(why: string): CatalogError {
    return new CatalogError('bad-request', `the filter ${quoted(this.text)} cannot be read at character ${this.at + 1}: ${why}`);
  }
}

/**
 * A pattern as RE2 has them: flags in front, (?i), the ends of the text, \A and \z, and groups with names are written otherwise in JavaScript. undefined:
 * it cannot be read, and then matches nothing, as with containerd.
 */
function translated(text: string): RegExp | undefined {
  const [, flags = '', rest = ''] = /^(?:\(\?([ims]+)\))?(.*)$/s.exec(text) ?? [];
  const source = rest.replace(/\\.|\(\?P</gs, (part) => ({ '\\A': '(?<![^])', '\\z': '(?![^])', '(?P<': '(?<' })[part] ?? part);
  try {
    return new RegExp(source, flags);
  } catch {
    return undefined;
  }
}
