import t from 'tap';
import { type Figure, type System, ownLimit, rates, times } from './contract.js';
import { digits, evaluateRow, inColumn, merged, ownChecks, type Report, reportOf, type RowResult } from './results.js';
import { rows } from './rows/index.js';
import { type Summary, percentile, summary } from './statistics.js';

function figureOf(part: Partial<Figure>): Figure {
  return { key: 'one', title: 'one', unit: 's', better: 'less', checks: [], ...part };
}

function found(values: Partial<Record<System, number[]>>): Partial<Record<System, Summary>> {
  return Object.fromEntries(Object.entries(values).map(([system, samples]) => [system, summary(samples)]));
}

t.test('ratios of times are of medians, and judged by the limit of their column', (t) => {
  const checks = times({ devOv: 2.9, foDev: 4.2, foUring: 5 });
  const [figure] = evaluateRow([figureOf({ checks })], { one: found({ ov: [1, 9, 2], dev: [6, 1, 6], fo: [30] }) });
  t.match(inColumn(figure, 'dev / ov'), { measured: 3, verdict: 'missed' });
  t.match(inColumn(figure, 'fo / dev'), { measured: 5, verdict: 'met' });
  t.match(inColumn(figure, 'fo / uring'), { verdict: 'not measured' });
  t.equal(inColumn(figure, 'uring / ov')?.verdict, 'not measured');
  t.end();
});

t.test('a rate over a rate is better when it is more, and fo is compared as a time', (t) => {
  const [figure] = evaluateRow([figureOf({ checks: rates({ devOv: 0.95, foDev: 5 }) })], {
    one: found({ ov: [100], dev: [90], fo: [10] }),
  });
  t.match(inColumn(figure, 'dev / ov'), { measured: 0.9, verdict: 'missed' });
  t.match(inColumn(figure, 'fo / dev'), { measured: 9, verdict: 'met' });
  t.end();
});

t.test('a limit may compare plyfs with another figure of its own', (t) => {
  const figures = [figureOf({}), figureOf({ key: 'last', checks: ownLimit({ atMost: 1.2 }, 'one') })];
  const [, last] = evaluateRow(figures, { one: found({ dev: [10] }), last: found({ dev: [11] }) });
  t.match(ownChecks(last), [{ measured: 1.1, verdict: 'met' }, { verdict: 'not measured' }]);
  t.end();
});

t.test('a percentile between two values is between them', (t) => {
  t.equal(percentile([4, 1, 3, 2], 50), 2.5);
  t.equal(percentile([1, 2, 3], 99), 2.98);
  t.strictSame([1234, 12.34, 1.234, 0.1234, 0.001234].map(digits), ['1234', '12.3', '1.23', '0.123', '0.0012']);
  t.end();
});

t.test('rows have names and figures of their own, and each limit is about a figure that there is', (t) => {
  t.equal(new Set(rows.map(({ name }) => name)).size, rows.length);
  for (const { name, figures } of rows) {
    const keys = figures.map(({ key }) => key);
    t.equal(new Set(keys).size, keys.length, name);
    for (const { over } of figures.flatMap(({ checks }) => checks)) if (over?.figure !== undefined) t.ok(keys.includes(over.figure), name);
  }
  t.end();
});

t.test('reports of several runs make one: a row as in the last that has it', (t) => {
  const report = (runs: number, names: readonly string[], more: Partial<Report> = {}): Report => {
    const rows = names.map((name) => ({ name, title: `${name} of ${runs}` }) as RowResult);
    return { started: `run of ${runs}`, seconds: 10, machine: { CPU: '2' }, runs, scale: 1, interrupted: false, rows, ...more };
  };
  const one = merged(
    [report(5, ['c', 'a']), report(3, ['b', 'c'], { scale: 0.5, noUring: 'switched off' }), report(4, ['d'])],
    ['a', 'b', 'c', 'd', 'e'],
  );
  t.match(one, { started: 'run of 5', seconds: 30, runs: 3, scale: 0.5, noUring: 'switched off', interrupted: false });
  t.same(
    one.rows.map(({ title }) => title),
    ['a of 5', 'b of 3', 'c of 3', 'd of 4'],
  );
  t.notOk('noFuseNative' in one);
  t.same(one.machine, { CPU: '2' });
  t.same(merged([report(5, []), report(5, [], { machine: { CPU: '4', plyfs: 'abc' } })], []).machine, {
    CPU: '2 and 4',
    plyfs: 'unknown and abc',
  });
  t.equal(merged([report(5, []), report(5, [], { interrupted: true })], []).interrupted, true);
  t.end();
});

t.test('what is no report is not taken for one', (t) => {
  for (const text of ['', '{', 'null', '{}', '[]', '{"rows":[]}', '{"rows":{},"machine":{},"runs":1}'])
    t.equal(reportOf(text), undefined, text);
  t.match(reportOf('{"rows":[],"machine":{},"runs":1}'), { rows: [], runs: 1 });
  t.end();
});
