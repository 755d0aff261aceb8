/** The generated parts of docs/performance.md: what each row is (from the rows themselves), and the last results. */
import fs from 'node:fs';
import type { Row } from './contract.js';
import { markdown } from './report-table.js';
import type { Report } from './results.js';
import { rows } from './rows/index.js';

function between(text: string, name: string, content: string): string {
  const [begin, end] = [`<!-- ${name}: written by make bench DOCS=1 -->`, `<!-- end of ${name} -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`docs/performance.md has no place for the ${name}: ${begin} … ${end}`);
  return `${text.slice(0, from + begin.length)}\n\n${content}\n\n${text.slice(to)}`;
}

function describe(row: Row): string {
  const only = row.onRequest === true ? ' Only when it is named.' : '';
  return `**${row.title}** (\`${row.name}\`): ${row.about}${only}\n_What dominates_: ${row.dominates}`;
}

export function writeDocs(report: Report, file: string): void {
  const text = fs.readFileSync(file, 'utf8');
  const described = between(text, 'rows', rows.map(describe).join('\n\n'));
  fs.writeFileSync(file, report.rows.length === 0 ? described : between(described, 'results', markdown(report)));
}
