/** Sizes, times and tables, as people read them. */
import t from 'tap';
import { ago, duration, fields, painter, printable, size, table, width } from '../../cli/format.js';

const plain = painter(false);

t.test('sizes, in powers of 1,000 and three digits', (t) => {
  const rows: [bytes: number, shown: string][] = [
    [0, '0B'],
    [999, '999B'],
    [1000, '1kB'],
    [1234, '1.23kB'],
    [123_456, '123kB'],
    [999_999, '1MB'],
    [1e9, '1GB'],
    [1.5e15, '1.5PB'],
    [2e18, '2000PB'],
  ];
  for (const [bytes, shown] of rows) t.equal(size(bytes), shown);
  t.end();
});

t.test("durations, in docker's words", (t) => {
  const [minute, hour, day] = [60, 3600, 86_400];
  const rows: [seconds: number, shown: string][] = [
    [0.4, 'Less than a second'],
    [1, '1 second'],
    [59.9, '59 seconds'],
    [minute, 'About a minute'],
    [2 * minute, '2 minutes'],
    [59 * minute, '59 minutes'],
    [hour, 'About an hour'],
    [2 * hour, '2 hours'],
    [47 * hour, '47 hours'],
    [2 * day, '2 days'],
    [13 * day, '13 days'],
    [14 * day, '2 weeks'],
    [59 * day, '8 weeks'],
    [60 * day, '2 months'],
    [700 * day, '23 months'],
    [730 * day, '2 years'],
  ];
  for (const [seconds, shown] of rows) t.equal(duration(seconds * 1000), shown);
  t.equal(ago('2026-01-01T00:00:00Z', Date.parse('2026-01-01T00:03:00Z')), '3 minutes ago');
  t.equal(ago('2026-01-01T00:00:00Z', Date.parse('2025-12-31T00:00:00Z')), 'Less than a second ago', 'a clock that was set back');
  t.end();
});

t.test('tables: columns as wide as a terminal shows them', (t) => {
  t.equal(table(['A', 'B', 'C'], [], plain), 'A   B   C\n');
  t.equal(
    table(
      ['NAME', 'X'],
      [
        ['日本', '1'],
        ['é\u0301', '2'],
        ['long name', ''],
      ],
      plain,
    ),
    'NAME        X\n日本        1\né\u0301           2\nlong name\n',
  );
  t.equal(
    table(['A', 'B'], [[{ text: 'a', colour: 'red' }, 'b']], painter(true)),
    '\x1b[1mA\x1b[0m   \x1b[1mB\x1b[0m\n\x1b[31ma\x1b[0m   b\n',
  );
  t.equal(width('日本'), 4);
  t.equal(width('a\u0300b'), 2);
  t.equal(printable('a\x1b[2J\n\x9b'), 'a\\x1b[2J\\x0a\\x9b');
  t.end();
});

t.test('fields: what is absent is left out, and what is long goes on below', (t) => {
  const rows = [
    ['Id', 'x'],
    ['Layers', ['a', 'b']],
    ['Upper', null],
    ['Options', ''],
  ] as const;
  t.equal(fields(rows, plain), 'Id:     x\nLayers: a\n        b\n');
  t.end();
});
