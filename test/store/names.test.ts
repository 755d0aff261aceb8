/** Names, ids, their beginnings, and what is offered for one that does not exist. */
import t from 'tap';
import { editDistance, nearNames } from '../../daemon/store/names.js';
import { checkImageName, checkName, isId, newId, shortId } from '../../daemon/store/index.js';
import { addContainer, addRow, openCatalog, refusal } from './support.js';

t.test('names of containers and layers', (t) => {
  for (const good of ['a', '0', 'web', 'Web_1.2-x', 'a'.repeat(255), 'deadbeef']) t.doesNotThrow(() => checkName('container', good), good);
  const bad = ['', '-a', '.a', '_a', 'a b', 'a/b', 'a:b', 'ä', 'a\n', 'a\0', '..', 'a'.repeat(256), newId()];
  for (const name of bad)
    t.match(
      refusal(() => checkName('container', name)),
      { code: 'bad-request', message: /container/ },
      JSON.stringify(name),
    );
  t.end();
});

t.test('names of images', (t) => {
  const good: [string, string, string][] = [
    ['debian', 'debian', 'latest'],
    ['debian:12', 'debian', '12'],
    ['team/app:v1.0_x-y', 'team/app', 'v1.0_x-y'],
    ['host:5000/a/b', 'host:5000/a/b', 'latest'],
    ['host.example:5000/a/b:c', 'host.example:5000/a/b', 'c'],
    ['a:_', 'a', '_'],
  ];
  for (const [name, repository, tag] of good) t.same(checkImageName(name), { repository, tag }, name);
  const bad = [
    '',
    ':',
    'a:',
    ':a',
    '/a',
    'a/',
    'a//b',
    'a b',
    'a:b:c',
    'a:b/c:d/e',
    'a/b:5/c',
    'a:.x',
    `a:${'t'.repeat(129)}`,
    '../a',
    'a@b',
    newId(),
    'x/'.repeat(128),
  ];
  for (const name of bad) t.equal(refusal(() => checkImageName(name)).code, 'bad-request', JSON.stringify(name));
  t.end();
});

t.test('ids', (t) => {
  const id = newId();
  t.ok(isId(id));
  t.notOk(isId(id.toUpperCase()) && /[a-f]/.test(id));
  t.notOk(isId(id.slice(1)));
  t.equal(shortId(id), id.slice(0, 12));
  t.not(newId(), id);
  t.end();
});

t.test('edit distance', (t) => {
  const rows: [string, string, number][] = [
    ['', '', 0],
    ['abc', 'abc', 0],
    ['abc', 'acb', 1],
    ['abc', 'ab', 1],
    ['abc', 'abcd', 1],
    ['abc', 'xbc', 1],
    ['debian', 'debain', 1],
    ['kitten', 'sitting', 3],
    ['', 'abc', 3],
  ];
  for (const [a, b, distance] of rows) {
    t.equal(editDistance(a, b, 10), distance, `${a} ${b}`);
    t.equal(editDistance(b, a, 10), distance, `${b} ${a}`);
  }
  t.equal(editDistance('aaaaaaaaaa', 'bbbbbbbbbb', 2), 3, 'no further than asked');
  t.end();
});

t.test('near names: the likeliest first, at most five', (t) => {
  const names = ['web', 'web-1', 'web-2', 'database', 'worker', 'weg'];
  t.same(nearNames('wbe', names), ['web']);
  t.same(nearNames('web', ['web-2', 'web-1', 'wed', 'other']), ['web-1', 'web-2', 'wed']);
  t.same(nearNames('databse', names), ['database']);
  t.same(nearNames('DATABASE', names), ['database']);
  t.same(nearNames('zzz', names), []);
  t.equal(
    nearNames(
      'c1',
      Array.from({ length: 100 }, (_, i) => `c${i}`),
    ).length,
    5,
  );
  t.doesNotThrow(() => nearNames('x'.repeat(100_000), names));
  t.end();
});

t.test('the beginning of an id: four characters, and only one id may have it', (t) => {
  const catalog = openCatalog(t);
  const one = addRow(catalog, 'one', { id: 'abcd1' + '0'.repeat(59) });
  const two = addRow(catalog, 'two', { id: 'abcd2' + 'f'.repeat(59) });
  t.equal(catalog.layers.get('abcd1').id, one);
  t.equal(catalog.layers.get('abcd2f').id, two);
  const several = refusal(() => catalog.layers.get('abcd'));
  t.equal(several.code, 'bad-request');
  t.same(several.near, [one.slice(0, 12), two.slice(0, 12)]);
  t.match(
    refusal(() => catalog.layers.get('abc')),
    { code: 'not-found', message: /at least 4 characters/ },
  );
  t.equal(refusal(() => catalog.layers.get('ABCD1')).code, 'not-found', 'ids are lower-case');
  t.equal(refusal(() => catalog.layers.get('abcd%')).code, 'not-found');
  t.match(
    refusal(() => catalog.layers.get('')),
    { code: 'bad-request', message: /no layer is named/ },
  );
  t.same(refusal(() => catalog.layers.get('abcd3000')).near, [one.slice(0, 12)]);
  t.end();
});

t.test('many ids with one beginning', (t) => {
  const catalog = openCatalog(t);
  for (let i = 0; i < 20; i++) addRow(catalog, `layer-${i}`, { id: `beef${String(i).padStart(60, '0')}` });
  const { near } = refusal(() => catalog.layers.get('beef'));
  t.equal(near?.length, 5);
  t.equal(catalog.layers.get('beef' + '0'.repeat(58) + '07').name, 'layer-7');
  t.end();
});

t.test('a name comes before the beginning of an id, a whole id before all', (t) => {
  const catalog = openCatalog(t);
  addRow(catalog, 'base');
  catalog.images.create({ name: 'one', layers: ['base'] });
  addContainer(catalog, 'one', 'first', 'beef' + '0'.repeat(60));
  const named = addContainer(catalog, 'one', 'beef', 'cafe' + '0'.repeat(60));
  t.equal(catalog.containers.get('beef').id, named);
  t.equal(catalog.containers.get('beef0').name, 'first');
  t.end();
});

t.test('an unknown name: told with those like it, of its own kind only', (t) => {
  const catalog = openCatalog(t);
  addRow(catalog, 'debian');
  catalog.images.create({ name: 'debian:12', layers: ['debian'] });
  addContainer(catalog, 'debian:12', 'web-server');
  t.match(
    refusal(() => catalog.containers.get('web-sevrer')),
    { code: 'not-found', message: /no container "web-sevrer".*ply ps/, near: ['web-server'] },
  );
  t.match(
    refusal(() => catalog.images.get('debain:12')),
    { code: 'not-found', message: /ply images/, near: ['debian:12'] },
  );
  t.same(refusal(() => catalog.images.get('debian')).near, ['debian:12']);
  t.equal(refusal(() => catalog.containers.get('debian')).near, undefined, 'no empty list');
  t.match(refusal(() => catalog.layers.get('x\n\u001b[31m')).message, /"x\\n\\u001b\[31m"/, 'nothing reaches the terminal as it is');
  t.ok(refusal(() => catalog.layers.get('y'.repeat(100_000))).message.length < 300);
  t.end();
});
