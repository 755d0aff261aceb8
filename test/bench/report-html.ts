/** The results as one HTML file that needs no network: a table, and a chart for each figure (Chart.js, inlined). */
import fs from 'node:fs';
import path from 'node:path';
import { COLUMNS, SYSTEMS } from './contract.js';
import { describeNoise } from './noise.js';
import { closing, mark } from './report-table.js';
import {
  type CheckResult,
  type FigureResult,
  type Report,
  type RowResult,
  digits,
  inColumn,
  limitText,
  ownCheckText,
  ownChecks,
} from './results.js';
import { rows } from './rows/index.js';

const escaped = (text: string): string => text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`);

const COLOURS = {
  bare: '#9e9e9e',
  ov: '#1f77b4',
  fo: '#d62728',
  dev: '#2ca02c',
  uring: '#17becf',
  'fuse-native': '#9467bd',
  floor: '#bcbd22',
};

const STYLE = `
body { font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1250px; padding: 0 1em; color: #222; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: 3px 8px; text-align: right; border-bottom: 1px solid #e4e4e4; font-variant-numeric: tabular-nums; vertical-align: top; }
th:first-child, td:first-child { text-align: left; }
small { color: #777; display: block; }
.met { color: #1b7a1b; } .missed { color: #c01515; font-weight: 600; }
.noisy, .note { color: #a15c00; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(380px, 1fr)); gap: 1.2em; }
.chart { height: 190px; }
pre { white-space: pre-wrap; }
`;

function valueCell(figure: FigureResult, system: (typeof SYSTEMS)[number]): string {
  const one = figure.systems[system];
  if (one === undefined) return '<td>–</td>';
  return `<td>${digits(one.median)}${one.samples.length < 2 ? '' : `<small>${digits(one.min)}–${digits(one.max)}</small>`}</td>`;
}

function checkCell(check: CheckResult | undefined, figure: FigureResult, row: RowResult): string {
  if (check === undefined) return '<td>–</td>';
  const measured = check.measured === undefined ? '–' : digits(check.measured);
  return `<td class="${check.verdict.replace(' ', '-')}">${measured} ${mark(check, row)}<small>${limitText(check, figure.unit)}</small></td>`;
}

function figureRow(figure: FigureResult, row: RowResult): string {
  const own = ownChecks(figure).map(
    (check) => `<small class="${check.verdict.replace(' ', '-')}">${escaped(ownCheckText(check, figure, row))} ${mark(check, row)}</small>`,
  );
  const values = SYSTEMS.map((system) => valueCell(figure, system)).join('');
  const checks = COLUMNS.map((column) => checkCell(inColumn(figure, column), figure, row)).join('');
  return `<tr><td>${escaped(figure.title)} (${figure.unit})${own.join('')}</td>${values}${checks}</tr>`;
}

function rowRows(row: RowResult): string {
  const notes = row.notes.map((note) => `${note.failed ? 'failed' : 'not available'}: ${note.system ?? 'all'}: ${note.text}`);
  notes.push(...row.remarks);
  if (row.noise.noisy) notes.push(`too noisy to conclude: ${describeNoise(row.noise)}`);
  const below = notes.map((text) => `<small class="note">${escaped(text)}</small>`).join('');
  const shown = row.figures.filter((figure) => Object.keys(figure.systems).length > 0);
  return `<tr><th colspan="10"><a href="#${row.name}">${escaped(row.title)}</a>${below}</th></tr>${shown.map((figure) => figureRow(figure, row)).join('')}`;
}

function processorText(row: RowResult): string {
  const parts = SYSTEMS.flatMap((system) => {
    const one = row.processor[system];
    if (one === undefined) return [];
    const server =
      system === 'bare' || system === 'ov' ? '' : `, of it server ${digits(one.serverUser)} user + ${digits(one.serverSystem)} system`;
    return [`${system} ${digits(one.busy)}${server}`];
  });
  return parts.length === 0 ? '' : `CPU seconds of the machine while measuring: ${parts.join('; ')}.`;
}

function section(row: RowResult): string {
  const definition = rows.find(({ name }) => name === row.name);
  const charts = row.figures
    .filter((figure) => Object.keys(figure.systems).length > 0)
    .map((figure) => `<div class="chart"><canvas data-figure="${row.name}/${figure.key}"></canvas></div>`);
  const text = [definition?.about, definition?.dominates, processorText(row)].filter((one) => one !== undefined && one !== '');
  return `<h3 id="${row.name}">${escaped(row.title)}</h3>${text.map((one) => `<p>${escaped(one ?? '')}</p>`).join('')}<div class="charts">${charts.join('')}</div>`;
}

/** What the script in the page draws: medians as bars, from the least to the greatest sample as lines. */
function chartData(report: Report): Record<string, unknown> {
  const data: Record<string, unknown> = {};
  for (const row of report.rows) {
    for (const figure of row.figures) {
      const present = SYSTEMS.filter((system) => figure.systems[system] !== undefined);
      if (present.length === 0) continue;
      data[`${row.name}/${figure.key}`] = {
        title: `${figure.title} (${figure.unit}), ${figure.better} is better`,
        labels: present,
        colours: present.map((system) => COLOURS[system]),
        medians: present.map((system) => figure.systems[system]?.median),
        ranges: present.map((system) => [figure.systems[system]?.min, figure.systems[system]?.max]),
      };
    }
  }
  return data;
}

const SCRIPT = `
const whiskers = { id: 'whiskers', afterDatasetsDraw(chart) {
  const { ctx, scales: { x } } = chart;
  const bars = chart.getDatasetMeta(0).data;
  ctx.save(); ctx.strokeStyle = '#222'; ctx.lineWidth = 1.5;
  chart.config._config.ranges.forEach(([low, high], i) => {
    const y = bars[i].y, a = x.getPixelForValue(low), b = x.getPixelForValue(high);
    ctx.beginPath(); ctx.moveTo(a, y); ctx.lineTo(b, y);
    for (const end of [a, b]) { ctx.moveTo(end, y - 4); ctx.lineTo(end, y + 4); }
    ctx.stroke();
  });
  ctx.restore();
} };
for (const canvas of document.querySelectorAll('canvas')) {
  const one = FIGURES[canvas.dataset.figure];
  new Chart(canvas, {
    type: 'bar', ranges: one.ranges, plugins: [whiskers],
    data: { labels: one.labels, datasets: [{ data: one.medians, backgroundColor: one.colours, barPercentage: 0.7 }] },
    options: { indexAxis: 'y', animation: false, maintainAspectRatio: false,
      scales: { x: { beginAtZero: true, suggestedMax: Math.max(...one.ranges.map((r) => r[1])) * 1.03 } },
      plugins: { legend: { display: false }, title: { display: true, text: one.title } } },
  });
}
`;

/** The library as it is in node_modules; nothing in a <script> may look like its end. */
function chartLibrary(): string {
  const file = path.join(path.dirname(require.resolve('chart.js')), 'chart.umd.js');
  return fs
    .readFileSync(file, 'utf8')
    .replace(/\/\/# sourceMappingURL=.*/, '')
    .replaceAll('</script', '<\\/script');
}

export function writeHtml(report: Report, file: string): void {
  const machine = Object.entries(report.machine).map(([name, value]) => `${name}: ${value}`);
  const head = ['', ...SYSTEMS, ...COLUMNS].map((name) => `<th>${name}</th>`).join('');
  const page = `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>plyfs: make bench</title><style>${STYLE}</style>
<h1>plyfs: make bench</h1>
<p>${escaped(`${report.started}, ${(report.seconds / 60).toFixed(0)} minutes, ${report.runs} runs of each, SCALE=${report.scale}. ${machine.join('; ')}.`)}</p>
<p>Medians; below them least and greatest. bare: the merged tree without an overlay; ov: kernel overlayfs; fo: fuse-overlayfs; dev, uring: plyfs by its
transport. Ratios are of times (of throughputs: see docs/performance.md), with the issue's limit below each.</p>
<pre>${escaped(closing(report))}</pre>
<table><tr>${head}</tr>${report.rows.map(rowRows).join('')}</table>
${report.rows.map(section).join('\n')}
<script>${chartLibrary()}</script>
<script>const FIGURES = ${JSON.stringify(chartData(report)).replaceAll('<', '\\u003c')};${SCRIPT}</script>
</html>
`;
  fs.writeFileSync(file, page);
}
