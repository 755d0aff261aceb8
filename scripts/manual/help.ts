/** The help texts of plyd and plyfs (daemon/config.ts, cli/arguments.ts), taken apart: they are the source of the manual. */

/** A line of a table: `-o OPTIONS    mount options …` */
export interface Row {
  term: string;
  about: string;
}

export interface Section {
  /** "" of the first */
  title: string;
  /** paragraphs that are no table */
  text: string[];
  rows: Row[];
}

/** Each table's row is indented by two, with two spaces or more between term and text; deeper indentation continues the row before. */
export function sections(help: string): Section[] {
  const found: Section[] = [{ title: '', text: [], rows: [] }];
  const body = help.replace(/^Usage:.*(\n {7,}.*)*\n/, '');
  for (const line of body.split('\n')) {
    const section = found[found.length - 1];
    const row = /^ {2}(\S.*?)(?: {2,}(\S.*))?$/.exec(line);
    const title = /^([A-Z][^:]*):$/.exec(line);
    if (title) found.push({ title: title[1], text: [], rows: [] });
    else if (row) section.rows.push({ term: row[1], about: row[2] ?? '' });
    else if (/^ {3,}\S/.test(line) && section.rows.length > 0) section.rows[section.rows.length - 1].about += ` ${line.trim()}`;
    else if (line.trim() === '') section.text.push('');
    else if (section.text.length > 0) section.text[section.text.length - 1] += ` ${line.trim()}`;
    else section.text.push(line.trim());
  }
  for (const section of found) section.text = section.text.map((one) => one.trim()).filter((one) => one !== '');
  return found;
}

/** The forms of the command line. */
export function usage(help: string): string[] {
  const lines = /^Usage: (.*(?:\n {7,}.*)*)/.exec(help)?.[1].split('\n') ?? [];
  return lines.map((line) => line.trim());
}

/** The option names in a term: `ro, rw, nodev, ...`, `redirect_dir=on|off`, `--help, --version`. */
export function namesIn(term: string): string[] {
  return [...term.matchAll(/(?:^|[ ,])(-{0,2}[a-z][a-z0-9_-]*)/gi)].map(([, name]) => name).filter((name) => name !== '');
}
