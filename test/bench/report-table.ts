/** The results as text for a terminal, and as Markdown. */
import { COLUMNS, SYSTEMS } from './contract.js';
import { describeNoise } from './noise.js';
import {
  type CheckResult,
  type FigureResult,
  type Report,
  type RowResult,
  digits,
  inColumn,
  isLimit,
  limitText,
  ownChecks,
  ownCheckText,
  tally,
} from './results.js';

const MARKS = { met: 'met', missed: 'MISSED', report: '', 'not measured': '–' };

const TITLE_WIDTH = 46;
const CELL = 15;

/** What the noise allows to say. */
export function mark(check: CheckResult, row: RowResult): string {
  const text = MARKS[check.verdict];
  return row.noise.noisy && (check.verdict === 'met' || check.verdict === 'missed') ? `${text}?` : text;
}

function ratioCell(check: CheckResult | undefined, row: RowResult): string {
  if (check?.measured === undefined) return '–';
  return `${digits(check.measured)} ${mark(check, row)}`.trim();
}

const cells = (list: readonly string[]): string => list.map((cell) => cell.padStart(CELL)).join('');

function figureLines(figure: FigureResult, row: RowResult): string[] {
  const title = `  ${figure.title} (${figure.unit})`;
  const summaries = SYSTEMS.map((system) => figure.systems[system]);
  const first = [...summaries.map((one) => (one === undefined ? '–' : digits(one.median)))];
  const second = summaries.map((one) => (one === undefined || one.samples.length < 2 ? '' : `${digits(one.min)}–${digits(one.max)}`));
  const checks = COLUMNS.map((column) => inColumn(figure, column));
  const limits = checks.map((check) => (check === undefined ? '' : limitText(check, figure.unit)));
  const lines = [
    title.padEnd(TITLE_WIDTH) + cells([...first, ...checks.map((check) => ratioCell(check, row))]),
    ''.padEnd(TITLE_WIDTH) + cells([...second, ...limits]),
  ];
  for (const check of ownChecks(figure)) lines.push(`      ${ownCheckText(check, figure, row)} ${mark(check, row)}`);
  return lines.map((line) => line.trimEnd()).filter((line) => line !== '');
}

export function tableHead(): string {
  return ''.padEnd(TITLE_WIDTH) + cells([...SYSTEMS, ...COLUMNS]);
}

export function rowText(row: RowResult): string {
  const lines = [`${row.title}  [${row.name}, ${row.seconds.toFixed(0)} s]`];
  for (const figure of row.figures) {
    if (Object.keys(figure.systems).length > 0) lines.push(...figureLines(figure, row));
  }
  for (const note of row.notes)
    lines.push(`      ${note.failed ? 'FAILED' : 'not available'}: ${note.system ?? 'all'}: ${note.text.replaceAll('\n', '\n        ')}`);
  for (const remark of row.remarks) lines.push(`      ${remark}`);
  if (row.noise.noisy) lines.push(`      too noisy to conclude: ${describeNoise(row.noise)}`);
  return lines.join('\n');
}

export function closing(report: Report): string {
  const { met, missed, unmeasured } = tally(report);
  const failed = report.rows.flatMap(({ notes }) => notes).filter((note) => note.failed).length;
  const noisy = report.rows.filter(({ noise }) => noise.noisy).map(({ name }) => name);
  const lines = [`${met} limits met, ${missed} missed, ${unmeasured} not measured, ${failed} failed`];
  if (report.noUring !== undefined) lines.push(`uring: not available: ${report.noUring}`);
  if (report.noFuseNative !== undefined) lines.push(`fuse-native: not available: ${report.noFuseNative}`);
  if (noisy.length > 0) lines.push(`The machine was too noisy to conclude (their marks have a "?"): ${noisy.join(', ')}`);
  if (report.scale !== 1) lines.push(`SCALE=${report.scale}: not the issue's sizes; the limits are for SCALE=1`);
  if (report.runs < 5) lines.push(`RUNS=${report.runs}: medians want at least 5`);
  if (report.interrupted) lines.push('Interrupted: not all rows are here.');
  return lines.join('\n');
}

// --- Markdown ------------------------------------------------------------------------------------------------------------------------------

function markdownFigure(figure: FigureResult, row: RowResult): string[] {
  const value = SYSTEMS.map((system) => {
    const one = figure.systems[system];
    if (one === undefined) return '–';
    return one.samples.length < 2 ? digits(one.median) : `${digits(one.median)} (${digits(one.min)}–${digits(one.max)})`;
  });
  const ratio = COLUMNS.map((column) => {
    const check = inColumn(figure, column);
    if (check?.measured === undefined) return check !== undefined && isLimit(check) ? `– ${limitText(check, figure.unit)}` : '–';
    return `${digits(check.measured)} ${limitText(check, figure.unit)} ${mark(check, row).replace(/MISSED\??/, '**$&**')}`
      .trim()
      .replace(/ +/g, ' ');
  });
  const own = ownChecks(figure).map((check) => `${ownCheckText(check, figure, row)} ${mark(check, row).replace(/MISSED\??/, '**$&**')}`);
  const title = row.figures.length === 1 ? row.title : `${row.title}: ${figure.title}`;
  return [`| ${[title, figure.unit, ...value, ...ratio, own.join('; ')].join(' | ')} |`];
}

export function markdown(report: Report): string {
  const machine = Object.entries(report.machine).map(([name, value]) => `${name}: ${value}`);
  const head = ['row', '', ...SYSTEMS, ...COLUMNS, 'further limits'];
  const notes = report.rows.flatMap((row) => [
    ...row.notes.map(
      (note) => `- ${row.name}, ${note.system ?? 'all'}: ${note.failed ? 'failed' : 'not available'}: ${note.text.split('\n')[0]}`,
    ),
    ...row.remarks.map((remark) => `- ${row.name}: ${remark}`),
    ...(row.noise.noisy ? [`- ${row.name}: too noisy to conclude: ${describeNoise(row.noise)}`] : []),
  ]);
  return [
    `${report.started}, ${report.runs} runs of each, SCALE=${report.scale}. ${machine.join('; ')}.`,
    '',
    `| ${head.join(' | ')} |`,
    `|${head.map(() => '---').join('|')}|`,
    ...report.rows.flatMap((row) =>
      row.figures.filter((one) => Object.keys(one.systems).length > 0).flatMap((one) => markdownFigure(one, row)),
    ),
    '',
    closing(report),
    '',
    ...notes,
  ].join('\n');
}
