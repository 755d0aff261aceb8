/** What clients do wrong, or slowly, or by the thousand. */
import net from 'node:net';
import t from 'tap';
import type { ApiError } from '../../daemon/api/types.js';
import { leftBehind, type Plyd, sleep, testWithPlyd, until } from '../plyd/daemon.js';

testWithPlyd('bad requests are told what is wrong with them', async (t, plyd) => {
  const cases: [method: string, url: string, body: string | Buffer | undefined, status: number, message: RegExp][] = [
    ['GET', '/', undefined, 404, /openapi\.json/],
    ['GET', '/v1', undefined, 404, /openapi\.json/],
    ['GET', '/v1/info/', undefined, 404, /nothing/],
    ['GET', '/v2/info', undefined, 404, /nothing/],
    ['PUT', '/v1/containers', '{}', 405, /GET, POST/],
    ['DELETE', '/v1/info', undefined, 405, /GET/],
    ['GET', '/v1/containers/%zz', undefined, 400, /escaped/],
    ['GET', '/v1/containers?siez=true', undefined, 400, /siez/],
    ['GET', '/v1/containers?size=yes', undefined, 400, /size/],
    ['GET', '/v1/containers?size=true&size=true', undefined, 400, /twice/],
    ['GET', '/v1/info?x=1', undefined, 400, /x/],
    ['GET', '/v1/events?since=-1', undefined, 400, /since/],
    ['POST', '/v1/containers', undefined, 400, /missing/],
    ['POST', '/v1/containers', '', 400, /missing/],
    ['POST', '/v1/containers', '{', 400, /not JSON/],
    ['POST', '/v1/containers', '[]', 400, /object/],
    ['POST', '/v1/containers', 'null', 400, /object/],
    ['POST', '/v1/containers', Buffer.from([0x7b, 0xff, 0x7d]), 400, /UTF-8/],
    ['POST', '/v1/containers', '{"image":1}', 400, /image/],
    ['POST', '/v1/containers', '{"image":"x","nmae":"y"}', 400, /nmae/],
    ['POST', '/v1/containers', '{"__proto__":{"image":"x"}}', 400, /image|__proto__/],
    ['POST', '/v1/images', '{"name":"x","layers":[]}', 400, /layers/],
    ['POST', '/v1/mounts', '{"mountpoint":"/mnt\\u0000","lower":["/"]}', 400, /NUL/],
    ['POST', '/v1/mounts', `{"mountpoint":"/${'x'.repeat(5000)}","lower":["/"]}`, 400, /mountpoint/],
    ['POST', '/v1/containers/x/start', '{"now":true}', 400, /no body/],
    ['POST', '/v1/containers/x/start', '{}', 404, /no container/],
    ['GET', '/v1/containers/..%2f..%2fetc', undefined, 404, /no container/],
  ];
  for (const [method, url, body, status, message] of cases) {
    const answer = await plyd.request<{ error: ApiError }>(method, url, body);
    const label = `${method} ${url.slice(0, 60)} ${String(body ?? '').slice(0, 40)}`;
    t.equal(answer.status, status, label);
    t.match(answer.body.error.message, message, label);
    t.equal(answer.headers['content-type'], 'application/json', label);
  }
  t.equal((await plyd.request('PUT', '/v1/containers')).headers.allow, 'GET, POST');
  t.same(await plyd.containers(), []);
});

testWithPlyd('each request has an id, in its answer and in all that is logged meanwhile', async (t, plyd) => {
  await plyd.image();
  const made = await plyd.request('POST', '/v1/containers', { image: 'img', name: 'one' });
  const started = await plyd.request<{ mountpoint: string }>('POST', '/v1/containers/one/start');
  const refused = await plyd.request('POST', '/v1/containers/none/start');
  const ids = [made, started, refused].map(({ headers }) => String(headers['x-request-id']));
  for (const id of ids) t.match(id, /^[0-9a-f]{12}$/);
  t.equal(new Set(ids).size, 3);
  const of = (id: string): unknown[] =>
    plyd
      .lines()
      .filter(({ request }) => request === id)
      .map(({ msg, url }) => url ?? msg);
  await until('their lines', () => ids.every((id) => of(id).some((what) => String(what).startsWith('/v1/'))), 60_000);
  t.same(of(ids[0]), ['/v1/containers']);
  t.ok(of(ids[1]).includes('engine started'), 'what others say for it too');
  t.same(of(ids[2]), ['/v1/containers/none/start']);
  for (const engine of plyd.engines()) process.kill(engine, 'SIGKILL');
  const later = (): boolean => plyd.lines().some(({ msg, request }) => msg === 'engine started' && request === undefined);
  await until('another engine is started, and that is not of the request that started the first', later, 60_000);
});

testWithPlyd('a body that is too large is refused before it is read', async (t, plyd) => {
  const big = `{"image":"${'x'.repeat(1024 * 1024)}"}`;
  t.match(await plyd.request('POST', '/v1/containers', big), { status: 413, body: { error: { code: 'too-large' } } });
  t.match(await plyd.request('POST', '/v1/containers', big, { expect: '100-continue' }), { status: 413 });
  const chunked = await talk(
    plyd,
    `POST /v1/containers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${`10000\r\n${'x'.repeat(0x10000)}\r\n`.repeat(20)}0\r\n\r\n`,
  );
  t.match(chunked, /^HTTP\/1\.1 413 /);
  const largest = `{"image":"${'x'.repeat(1000)}"${' '.repeat(1024 * 1024 - 1014)}}`;
  t.equal((await plyd.request('POST', '/v1/containers', largest)).status, 404, 'one that just fits is read');
});

/** Sends bytes, and returns what comes until the other end closes. */
function talk(plyd: Plyd, bytes: string, limitMs = 25_000): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = net.connect(plyd.socket, () => socket.write(bytes));
    const timer = setTimeout(() => socket.destroy(), limitMs);
    socket.setEncoding('latin1').on('data', (data: string) => (text += data));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(text);
    });
  });
}

testWithPlyd('what is no HTTP is refused, and what does not come to its end is cut off', async (t, plyd) => {
  t.match(await talk(plyd, 'hello\r\n\r\n'), /^HTTP\/1\.1 400 .*"bad-request"/s);
  t.match(await talk(plyd, `GET /v1/info HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  const began = Date.now();
  const [headers, nothing] = await Promise.all([talk(plyd, 'GET /v1/info HTTP/1.1\r\nHost: x\r\n'), talk(plyd, '')]);
  t.match(headers, /^(HTTP\/1\.1 408 .*)?$/s);
  t.match(nothing, /^(HTTP\/1\.1 408 .*)?$/s);
  t.ok(Date.now() - began < 20_000, 'within seconds');
  t.ok(await plyd.info());
});

testWithPlyd('a thousand idle connections keep nobody from being served', async (t, plyd) => {
  const idle: net.Socket[] = [];
  for (let i = 0; i < 1000; i++) {
    const socket = net.connect(plyd.socket);
    socket.on('error', () => undefined);
    idle.push(socket);
    if (i % 100 === 99) await new Promise((resolve) => socket.once('connect', resolve));
  }
  const began = Date.now();
  for (let i = 0; i < 20; i++) await plyd.info();
  t.ok(Date.now() - began < 5000, 'and soon');
  await plyd.image();
  await plyd.create('img', 'c');
  await plyd.begin('c');
  t.same(await plyd.disagreements(), []);
  for (const socket of idle) socket.destroy();
});

testWithPlyd('requests that are given up change nothing for others, and what was begun is finished', async (t, plyd) => {
  await plyd.image();
  for (let i = 0; i < 20; i++) {
    const socket = net.connect(plyd.socket);
    socket.on('error', () => undefined);
    const body = JSON.stringify({ image: 'img', name: `c${i}` });
    socket.write(`POST /v1/containers HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await sleep(i % 4);
    socket.destroy();
  }
  await until('all that was begun is finished', async () => (await plyd.disagreements()).length === 0);
  for (const { name } of await plyd.containers()) await plyd.remove(name);
  t.same(await plyd.disagreements(), []);
});

testWithPlyd('concurrent requests for one container follow each other', async (t, plyd) => {
  await plyd.image();
  const made = await Promise.all(Array.from({ length: 10 }, () => plyd.request('POST', '/v1/containers', { image: 'img', name: 'same' })));
  t.same(made.map(({ status }) => status).sort(), [201, ...Array<number>(9).fill(409)]);
  const urls = Array.from({ length: 30 }, (_, i) => `/v1/containers/same/${i % 3 === 0 ? 'stop' : 'start'}`);
  const answers = await Promise.all(urls.map((url) => plyd.request('POST', url)));
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]));
  t.same(await plyd.disagreements(), []);
  const gone = await Promise.all(Array.from({ length: 5 }, () => plyd.request('DELETE', '/v1/containers/same?force=true')));
  t.same(gone.map(({ status }) => status).sort(), [204, 404, 404, 404, 404]);
  t.same(await plyd.disagreements(), []);
});

testWithPlyd('events: as they come, and those that were missed', async (t, plyd) => {
  const first = await plyd.listen();
  await plyd.image();
  await until('the events', () => first.events.length === 3);
  t.same(
    first.events.map(({ type }) => type),
    ['layer.add', 'layer.add', 'image.create'],
  );
  t.match(first.events[2], { name: 'img', seq: first.events[1].seq + 1 });
  const second = await plyd.listen(`?since=${first.events[1].seq}`);
  await until('the missed one', () => second.events.length === 1);
  t.same(second.events, first.events.slice(2));
  first.close();
  await plyd.create('img', 'c');
  await until('the next', () => second.events.length === 2);
  t.equal(first.events.length, 3);
  // A listener that does not read is none of the daemon's trouble.
  const deaf = net.connect(plyd.socket);
  deaf.on('error', () => undefined);
  deaf.write('GET /v1/events?since=0 HTTP/1.1\r\nHost: x\r\n\r\n');
  deaf.pause();
  await plyd.remove('c');
  t.ok(await plyd.info());
  deaf.destroy();
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));
