/** The catalog's rules. */
import t from 'tap';
import { apiMount, TRANSITIONS, type ContainerState } from '../../daemon/store/index.js';
import { addContainer, addRow, hex, openCatalog, refusal } from './support.js';

t.test('layers: what was added is found by id, by the beginning of an id and by name', (t) => {
  const catalog = openCatalog(t);
  const id = addRow(catalog, 'base', { size: 4096 });
  const nameless = addRow(catalog, null);
  const layer = catalog.layers.get('base');
  t.match(layer, {
    id,
    name: 'base',
    path: '/layers/base',
    entries: 3,
    files: 2,
    size: 4096,
    treeDigest: /^[0-9a-f]{64}$/,
    createdAt: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
  });
  t.same(catalog.layers.get(id), layer);
  t.same(catalog.layers.get(id.slice(0, 12)), layer);
  t.equal(catalog.layers.get(nameless).name, null);
  t.same(
    catalog.layers.all().map((each) => each.id),
    [id, nameless],
    'in the order in which they were added',
  );
  t.end();
});

t.test('layers: a name and a path are used once', (t) => {
  const catalog = openCatalog(t);
  addRow(catalog, 'base');
  const name = refusal(() => addRow(catalog, 'base', { path: '/elsewhere' }));
  t.match(name, { code: 'conflict', message: /already a layer "base"/ });
  const path = refusal(() => addRow(catalog, 'other', { path: '/layers/base' }));
  t.match(path, { code: 'conflict', message: /\/layers\/base is already the layer base/, by: ['base'] });
  t.equal(catalog.layers.all().length, 1);
  t.equal(refusal(() => addRow(catalog, 'bad name')).code, 'bad-request');
  t.equal(refusal(() => addRow(catalog, 'good', { id: 'abc' })).code, 'bad-request');
  t.end();
});

t.test('images: layers in the order given, size and use counted', (t) => {
  const catalog = openCatalog(t);
  const ids = ['base', 'middle', 'top'].map((name, i) => addRow(catalog, name, { size: 10 ** i }));
  const image = catalog.images.create({ name: 'team/app:1.0', layers: ['top', ids[1].slice(0, 8), ids[0]] });
  t.match(image, { name: 'team/app:1.0', size: 111, containers: 0 });
  t.same(image.layers, [ids[2], ids[1], ids[0]]);
  addContainer(catalog, 'team/app:1.0');
  t.equal(catalog.images.get(image.id).containers, 1);
  t.same(
    catalog.images.all().map((each) => each.name),
    ['team/app:1.0'],
  );
  t.end();
});

t.test('images: "latest" goes without saying', (t) => {
  const catalog = openCatalog(t);
  addRow(catalog, 'base');
  const { id, name } = catalog.images.create({ name: 'debian:latest', layers: ['base'] });
  t.equal(name, 'debian');
  t.equal(catalog.images.get('debian').id, id);
  t.equal(catalog.images.get('debian:latest').id, id);
  t.equal(refusal(() => catalog.images.create({ name: 'debian', layers: ['base'] })).code, 'conflict');
  t.equal(refusal(() => catalog.images.get('debian:12')).code, 'not-found');
  t.end();
});

t.test('images: a bad stack is refused and leaves nothing', (t) => {
  const catalog = openCatalog(t);
  const id = addRow(catalog, 'base');
  t.match(
    refusal(() => catalog.images.create({ name: 'a', layers: [] })),
    { code: 'bad-request', message: /no layer/ },
  );
  t.match(
    refusal(() => catalog.images.create({ name: 'a', layers: ['base', id] })),
    { code: 'bad-request', message: /twice/ },
  );
  t.match(
    refusal(() => catalog.images.create({ name: 'a', layers: ['base', 'bsae'] })),
    { code: 'not-found', near: ['base'] },
  );
  t.same(catalog.images.all(), []);
  t.equal(refusal(() => catalog.images.get('a')).code, 'not-found', 'the name is free');
  t.end();
});

t.test('images: several names; the last one goes with the image', (t) => {
  const catalog = openCatalog(t);
  addRow(catalog, 'base');
  const { id } = catalog.images.create({ name: 'app:1', layers: ['base'] });
  catalog.images.tag('app:1', 'app');
  t.equal(catalog.images.tag('app', 'app:latest').id, id, 'the name that it has');
  t.same(catalog.images.namesOf(id), ['app:1', 'app']);
  t.match(catalog.images.remove('app:1'), { removed: false, id, untagged: ['app:1'] });
  t.equal(catalog.images.get('app').name, 'app');
  t.match(catalog.images.remove('app'), { removed: true });
  t.same(catalog.images.all(), []);
  catalog.images.create({ name: 'two', layers: ['base'] });
  catalog.images.tag('two', 'deux');
  t.match(catalog.images.remove(catalog.images.get('two').id), { removed: true }, 'by its id it goes with all its names');
  t.equal(refusal(() => catalog.images.get('deux')).code, 'not-found');
  t.end();
});

t.test('what is used cannot be removed, and the users are named', (t) => {
  const catalog = openCatalog(t);
  addRow(catalog, 'base');
  catalog.images.create({ name: 'one', layers: ['base'] });
  catalog.images.create({ name: 'two:x', layers: ['base'] });
  addContainer(catalog, 'one', 'web');
  addContainer(catalog, 'one', 'db');
  const layer = refusal(() => catalog.layers.remove('base'));
  t.match(layer, { code: 'in-use', message: /used by the images one and two:x/ });
  t.same(layer.by, ['one', 'two:x']);
  const image = refusal(() => catalog.images.remove('one'));
  t.match(image, { code: 'in-use', message: /used by the containers web and db/ });
  t.same(image.by, ['web', 'db']);
  for (const name of ['web', 'db']) catalog.containers.remove(name);
  catalog.images.remove('one');
  t.same(refusal(() => catalog.layers.remove('base')).by, ['two:x']);
  catalog.images.remove('two:x');
  t.equal(catalog.layers.remove('base').name, 'base');
  t.same(catalog.counts(), { layers: 0, images: 0, containers: 0, running: 0, mounts: 0 });
  t.end();
});

t.test('fifty users are counted, not told off', (t) => {
  const catalog = openCatalog(t);
  addRow(catalog, 'base');
  catalog.images.create({ name: 'one', layers: ['base'] });
  for (let i = 0; i < 50; i++) addContainer(catalog, 'one', `c${i}`);
  const error = refusal(() => catalog.images.remove('one'));
  t.match(error.message, /c0, c1, c2, c3, c4 and 45 more/);
  t.equal(error.by?.length, 50);
  t.end();
});

t.test('containers: their life', (t) => {
  const catalog = openCatalog(t);
  addRow(catalog, 'base');
  const image = catalog.images.create({ name: 'one', layers: ['base'] });
  const id = addContainer(catalog, 'one', 'web');
  t.match(catalog.containers.get('web'), {
    id,
    image: image.id,
    imageName: 'one',
    state: 'created',
    startedAt: null,
    mountpoint: null,
    error: null,
    options: '',
  });
  t.match(catalog.containers.running('web', '/m'), { state: 'running', mountpoint: '/m', startedAt: /Z$/ });
  t.match(
    refusal(() => catalog.containers.running('web', '/n')),
    { code: 'conflict', message: /web is already running at \/m/ },
  );
  t.match(
    refusal(() => catalog.containers.remove('web')),
    { code: 'conflict', message: /ply stop web/ },
  );
  t.match(catalog.containers.failed('web', 'the engine died'), { state: 'failed', error: 'the engine died', mountpoint: null });
  t.match(catalog.containers.failed('web', 'and again'), { error: 'and again' });
  t.match(catalog.containers.running('web', '/m'), { state: 'running', error: null });
  t.match(catalog.containers.stopped('web'), { state: 'stopped', mountpoint: null, startedAt: /Z$/ });
  t.match(
    refusal(() => catalog.containers.stopped('web')),
    { code: 'conflict', message: /already stopped/ },
  );
  t.equal(catalog.containers.remove('web').id, id);
  t.end();
});

t.test('containers: every pair of states is allowed or refused as the table says', (t) => {
  const catalog = openCatalog(t);
  addRow(catalog, 'base');
  catalog.images.create({ name: 'one', layers: ['base'] });
  const { containers } = catalog;
  const to: Record<ContainerState, (name: string) => unknown> = {
    created: () => undefined,
    running: (name) => containers.running(name, `/m/${name}`),
    stopped: (name) => containers.stopped(name),
    failed: (name) => containers.failed(name, 'why'),
  };
  const path: Record<ContainerState, ContainerState[]> = {
    created: [],
    running: ['running'],
    stopped: ['running', 'stopped'],
    failed: ['failed'],
  };
  for (const from of Object.keys(TRANSITIONS) as ContainerState[]) {
    for (const next of ['running', 'stopped', 'failed'] as const) {
      const name = `${from}-${next}`;
      addContainer(catalog, 'one', name);
      for (const step of path[from]) to[step](name);
      if (TRANSITIONS[from].includes(next)) to[next](name);
      else t.equal(refusal(() => to[next](name)).code, 'conflict', name);
      t.equal(containers.get(name).state, TRANSITIONS[from].includes(next) ? next : from, name);
    }
  }
  t.end();
});

t.test('containers: one without a name gets one', (t) => {
  const catalog = openCatalog(t);
  addRow(catalog, 'base');
  catalog.images.create({ name: 'one', layers: ['base'] });
  for (let i = 0; i < 200; i++) addContainer(catalog, 'one');
  const names = catalog.containers.all().map(({ name }) => name);
  t.equal(new Set(names).size, 200);
  t.ok(names.every((name) => /^[a-z]+_[a-z]+\d*$/.test(name)));
  t.match(
    refusal(() => addContainer(catalog, 'one', names[0])),
    { code: 'conflict', message: /already a container/ },
  );
  t.end();
});

t.test('mounts: a row from before mount(2) to after umount(2)', (t) => {
  const catalog = openCatalog(t);
  const mount = catalog.mounts.add({ mountpoint: '/m', lower: ['/b', '/a'], options: 'volatile' });
  t.match(mount, { phase: 'mounting', upper: null, work: null, container: null, device: null, engine: null });
  catalog.mounts.update(mount.id, { phase: 'mounted', device: '0:52', engine: 4711 });
  catalog.mounts.update(mount.id, { phase: 'unmounting' });
  t.match(catalog.mounts.get('/m'), { lower: ['/b', '/a'], phase: 'unmounting', device: '0:52', engine: 4711 });
  t.match(catalog.mounts.get(mount.id.slice(0, 6)), { id: mount.id });
  const { phase, device, engine, snapshot, snapshotKey, ...rest } = catalog.mounts.get('/m');
  t.same(apiMount({ phase, device, engine, snapshot, snapshotKey, ...rest }), { ...rest, snapshot: null, state: 'mounted' });
  t.equal(apiMount(catalog.mounts.update(mount.id, { phase: 'failed', engine: null })).state, 'failed');
  t.match(
    refusal(() => catalog.mounts.add({ mountpoint: '/m', lower: ['/c'], options: '' })),
    { code: 'conflict', message: /mounted at \/m/ },
  );
  t.equal(catalog.mounts.remove(mount.id), true);
  t.equal(catalog.mounts.remove(mount.id), false);
  t.same(catalog.mounts.all(), []);
  t.end();
});

t.test('mounts: a container has one, and cannot be removed with it', (t) => {
  const catalog = openCatalog(t);
  addRow(catalog, 'base');
  catalog.images.create({ name: 'one', layers: ['base'] });
  const container = addContainer(catalog, 'one', 'web');
  const mount = catalog.mounts.add({ mountpoint: '/m', lower: ['/a'], options: '', container });
  t.equal(catalog.mounts.ofContainer(container)?.id, mount.id);
  t.match(
    refusal(() => catalog.mounts.add({ mountpoint: '/n', lower: ['/a'], options: '', container })),
    { code: 'conflict', message: /already mounted at \/m/ },
  );
  t.match(
    refusal(() => catalog.containers.remove('web')),
    { code: 'conflict', message: /still mounted at \/m/ },
  );
  t.equal(refusal(() => catalog.mounts.add({ mountpoint: '/n', lower: ['/a'], options: '', container: hex() })).code, 'not-found');
  catalog.mounts.remove(mount.id);
  t.equal(catalog.mounts.ofContainer(container), undefined);
  catalog.containers.remove('web');
  t.end();
});

t.test('a transaction of several changes holds as a whole or not at all', (t) => {
  const catalog = openCatalog(t);
  addRow(catalog, 'base');
  catalog.images.create({ name: 'one', layers: ['base'] });
  const container = addContainer(catalog, 'one', 'web');
  const start = (fail: boolean): void =>
    catalog.transaction(() => {
      catalog.mounts.add({ mountpoint: '/m', lower: ['/a'], options: '', container });
      catalog.containers.running('web', '/m');
      if (fail) catalog.containers.get('nobody');
    });
  t.equal(refusal(() => start(true)).code, 'not-found');
  t.match(catalog.counts(), { running: 0, mounts: 0 });
  start(false);
  t.match(catalog.counts(), { running: 1, mounts: 1 });
  t.end();
});

t.test('what was written is there for the next one who opens it', (t) => {
  const catalog = openCatalog(t);
  addRow(catalog, 'base');
  catalog.images.create({ name: 'one', layers: ['base'] });
  addContainer(catalog, 'one', 'web');
  const before = [catalog.layers.all(), catalog.images.all(), catalog.containers.all()];
  catalog.close();
  const again = openCatalog(t, catalog.root);
  t.same([again.layers.all(), again.images.all(), again.containers.all()], before);
  t.end();
});
