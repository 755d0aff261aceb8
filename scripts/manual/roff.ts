/** man(7) source, with everything that is text escaped. */

/** Backslashes, hyphens that are typed (groff would make typographic ones of them), quotes, and what would be a request at the start of a line. */
export function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('`', '\\(ga')
    .replaceAll("'", '\\(aq')
    .replaceAll('^', '\\(ha')
    .replaceAll('~', '\\(ti')
    .replaceAll('…', '...')
    .replace(/^([.])/gm, '\\&$1');
}

/** `code` becomes bold. */
export function prose(text: string): string {
  return text
    .split(/(`[^`]*`)/)
    .map((part) => (/^`.*`$/s.test(part) ? `\\fB${escaped(part.slice(1, -1))}\\fP` : escaped(part)))
    .join('')
    .replace(/^([.])/gm, '\\&$1');
}

/** `--name NAME` with the option bold and the rest (capitals) in italics. */
export function term(text: string): string {
  return escaped(text)
    .replace(/\b[A-Z][A-Z]*\b(?!\\)/g, (word) => `\\fI${word}\\fP`)
    .replace(/(^|[ ,[|])((?:\\-)+[a-z](?:[a-z0-9]|\\-)*)/gi, (_, before: string, option: string) => `${before}\\fB${option}\\fP`);
}

export class Page {
  private readonly lines: string[] = [];

  constructor(
    readonly name: string,
    readonly section: number,
    summary: string,
    version: string,
  ) {
    this.lines.push('.\\" Made by scripts/manual of the programs\\(aq own tables: change those.');
    this.lines.push(`.TH ${name.toUpperCase()} ${section} "" "plyfs ${version}" "plyfs"`);
    this.heading('NAME').raw(`${escaped(name)} \\- ${escaped(summary)}`);
  }

  raw(text: string): this {
    this.lines.push(...text.split('\n'));
    return this;
  }

  heading(title: string): this {
    return this.raw(`.SH ${title}`);
  }

  subheading(title: string): this {
    return this.raw(`.SS "${escaped(title).replaceAll('"', '\\(dq')}"`);
  }

  /** Paragraphs, separated by empty lines. */
  text(text: string): this {
    for (const paragraph of text.split(/\n{2,}/)) this.raw('.PP').raw(prose(paragraph.trim()));
    return this;
  }

  row(what: string, about: string): this {
    this.raw('.TP').raw(term(what));
    return this.raw(about === '' ? '\\&' : prose(about));
  }

  forms(lines: readonly string[]): this {
    lines.forEach((line, at) => this.raw(at === 0 ? '.PP' : '.br').raw(term(line)));
    return this;
  }

  /** As it is typed. */
  example(command: string, purpose: string): this {
    if (purpose !== '')
      this.raw('.TP')
        .raw(`\\fB${escaped(command)}\\fP`)
        .raw(prose(purpose));
    else this.raw('.PP').raw('.nf').raw(command.split('\n').map(escaped).join('\n')).raw('.fi');
    return this;
  }

  toString(): string {
    return `${this.lines.join('\n')}\n`;
  }
}
