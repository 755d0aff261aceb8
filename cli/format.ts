/** How things are shown to people: sizes, times, tables, colours. docker's ways, where it has one. */

export type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'blue';
export type Paint = (colour: Colour, text: string) => string;

const CODES: Record<Colour, number> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, blue: 34 };

export function painter(colours: boolean): Paint {
  return (colour, text) => (colours && text !== '' ? `\x1b[${CODES[colour]}m${text}\x1b[0m` : text);
}

/** As docker's: "0B", "1.23MB", powers of 1,000. */
export function size(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let at = 0;
  while (bytes >= 999.5 && (at > 0 || bytes >= 1000) && at < units.length - 1) {
    bytes /= 1000;
    at++;
  }
  return `${Number(bytes.toPrecision(3))}${units[at]}`;
}

/** "20G", "512M", "1000": as people write sizes, powers of 1,024; undefined: it is none. */
export function bytesOf(text: string): number | undefined {
  const match = /^(\d{1,15})([KMGT]?)i?B?$/i.exec(text);
  if (match === null) return undefined;
  const bytes = Number(match[1]) * 1024 ** ['', 'K', 'M', 'G', 'T'].indexOf(match[2].toUpperCase());
  return bytes >= 1 && bytes <= Number.MAX_SAFE_INTEGER ? bytes : undefined;
}

export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** As docker's: "3 minutes", "About an hour". */
export function duration(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  const minutes = Math.floor(seconds / 60);
  const hours = Math.round(milliseconds / 3_600_000);
  const days = Math.floor(hours / 24);
  if (seconds < 1) return 'Less than a second';
  if (seconds < 60) return count(seconds, 'second');
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${hours} hours`;
  if (days < 14) return `${days} days`;
  if (days < 60) return `${Math.floor(days / 7)} weeks`;
  if (days < 730) return `${Math.floor(days / 30)} months`;
  return `${Math.floor(days / 365)} years`;
}

/** "3 minutes ago", of an RFC 3339 time. */
export function ago(time: string, now = Date.now()): string {
  return `${duration(Math.max(0, now - Date.parse(time)))} ago`;
}

export function shortId(id: string): string {
  return id.slice(0, 12);
}

/** Names of others on a terminal or in a table: no control character gets through. */
export function printable(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Columns that a terminal takes for it. */
export function width(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  const wide = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/gu;
  return Array.from(text.replace(/[\p{M}\u200b-\u200d]/gu, '')).length + (text.match(wide)?.length ?? 0);
}

/** A cell: its text, and how it is painted. */
export type Cell = string | { text: string; colour: Colour | undefined };

const GAP = '   ';

/** As docker's: headings in capitals, columns aligned left, three spaces between. */
export function table(headings: readonly string[], rows: readonly (readonly Cell[])[], paint: Paint): string {
  const head = headings.map((text): Cell => ({ text, colour: 'bold' }));
  const cells = [head, ...rows].map((row) => row.map((cell) => (typeof cell === 'string' ? { text: cell, colour: undefined } : cell)));
  for (const row of cells) for (const cell of row) cell.text = printable(cell.text);
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => width(row[column]?.text ?? ''))));
  const lines = cells.map((row) => row.map((cell, column) => padded(cell, column < row.length - 1 ? widths[column] : 0, paint)).join(GAP));
  return lines.map((line) => `${line.trimEnd()}\n`).join('');
}

function padded({ text, colour }: Exclude<Cell, string>, columns: number, paint: Paint): string {
  const padding = ' '.repeat(Math.max(0, columns - width(text)));
  return (colour === undefined ? text : paint(colour, text)) + padding;
}

/** "Name:   value" lines; a value of several lines goes on below itself, an absent one is left out. */
export function fields(
  rows: readonly (readonly [name: string, value: string | readonly string[] | null | undefined])[],
  paint: Paint,
): string {
  const shown = rows.filter(([, value]) => value !== null && value !== undefined && value !== '' && value.length > 0);
  const columns = Math.max(0, ...shown.map(([name]) => name.length)) + 2;
  const below = `\n${' '.repeat(columns)}`;
  return shown
    .map(([name, value]) => {
      const lines = (typeof value === 'string' ? [value] : value!).map(printable);
      return `${paint('bold', `${name}:`)}${' '.repeat(columns - name.length - 1)}${lines.join(below)}\n`;
    })
    .join('');
}
