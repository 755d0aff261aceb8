/**
 * containerd's filters (its package filters): `kind==active`, `labels."a.b/c"!=x`, `name~=/^default/`, `labels.here`, joined by commas: all of them must hold.
 * Fields: name, parent, kind, labels.NAME.
 */
import { CatalogError } from '../store';
import type { SnapshotInfo } from '../store';

export type Filter = (info: SnapshotInfo) => boolean;

type Operator = '==' | '!=' | '~=' | undefined;

/** True where one of the filters holds, or where there are none. Throws CatalogError (bad-request). */
export function anyOf(filters: readonly string[]): Filter {
  const all = filters.map((text) => new Parser(text).selectors());
  return (info) => all.length === 0 || all.some((selectors) => selectors.every((holds) => holds(info)));
}

const FIELD = /[A-Za-z0-9_]+/y;
const OPERATOR = /==|!=|~=/y;
/** Everything that can be seen, but a comma. */
const BARE = /[^\s,"]+/y;
const QUOTED = /"(?:[^"\\\n]|\\.)*"/y;
/** As regular expressions are written, whose backslashes stay. */
const BETWEEN = /\/(?:[^/\\\n]|\\.)*\/|\|(?:[^|\\\n]|\\.)*\|/y;

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
    const operator = this.take(OPERATOR) as Operator;
    const value = operator === undefined ? '' : this.value(operator);
    const read = this.reader(path);
    switch (operator) {
      case undefined:
        return (info) => read(info) !== undefined;
      case '==':
        return (info) => read(info) === value;
      case '!=':
        return (info) => read(info) !== value;
      case '~=': {
        const pattern = this.pattern(value);
        return (info) => pattern.test(read(info) ?? '');
      }
    }
  }

  private field(): string {
    const quoted = this.take(QUOTED);
    const name = quoted === undefined ? this.take(FIELD) : this.unquote(quoted);
    if (name === undefined) throw this.wrong('a field is missing');
    return name;
  }

  private value(operator: Operator): string {
    const quoted = this.take(QUOTED);
    if (quoted !== undefined) return this.unquote(quoted);
    const between = operator === '~=' ? this.take(BETWEEN) : undefined;
    if (between !== undefined) return between.slice(1, -1).replaceAll(`\\${between[0]}`, between[0]);
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

  /** RE2's flags in front, (?i), are what JavaScript has beside the pattern. */
  private pattern(text: string): RegExp {
    const [, flags = '', rest = ''] = /^(?:\(\?([ims]+)\))?(.*)$/s.exec(text) ?? [];
    try {
      return new RegExp(rest, flags);
    } catch (error) {
      throw this.wrong((error as Error).message);
    }
  }

  /** Go's escapes, as far as they are JSON's. */
  private unquote(text: string): string {
    try {
      return JSON.parse(text) as string;
    } catch {
      throw this.wrong(`${text} has an escape that is not known`);
    }
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }

  private wrong(why: string): CatalogError {
    return new CatalogError('bad-request', `the filter ${JSON.stringify(this.text)} cannot be read at character ${this.at + 1}: ${why}`);
  }
}
