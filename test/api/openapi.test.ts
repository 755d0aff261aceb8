/** The OpenAPI document, the routes and the real answers say the same. */
import fs from 'node:fs';
import path from 'node:path';
import Ajv2020, { type ValidateFunction } from 'ajv/dist/2020.js';
import t from 'tap';
import { layoutFiles, makeImage, tar, writeFiles } from '../images/tars.js';
import { leftBehind, type Plyd, sh, testWithPlyd, until } from '../plyd/daemon.js';

interface Operation {
  operationId: string;
  parameters?: { name: string; in: string }[];
  requestBody?: { content: Record<string, { schema: object }> };
  responses: Record<string, { content?: Record<string, { schema: object }> }>;
}
interface Document {
  openapi: string;
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, object> };
}

class Checker {
  readonly seen = new Set<string>();
  private readonly ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  private readonly compiled = new Map<string, ValidateFunction>();

  constructor(readonly document: Document) {
    this.ajv.addSchema({ ...document, $id: 'doc' });
  }

  validator(pointer: string): ValidateFunction {
    const known = this.compiled.get(pointer);
    if (known !== undefined) return known;
    const made = this.ajv.compile({ $ref: `doc#${pointer}` });
    this.compiled.set(pointer, made);
    return made;
  }

  /** Which operation a request is; undefined: none. */
  find(method: string, url: string): [path: string, operation: Operation] | undefined {
    const words = url.split('?')[0].split('/');
    for (const [template, operations] of Object.entries(this.document.paths)) {
      const parts = template.split('/');
      const fits = parts.length === words.length && parts.every((part, i) => part.startsWith('{') || part === words[i]);
      const operation = operations[method.toLowerCase()];
      if (fits && operation !== undefined) return [template, operation];
    }
    return undefined;
  }

  /** What is wrong with an answer. */
  check(method: string, url: string, status: number, headers: Record<string, unknown>, body: unknown): string[] {
    const found = this.find(method, url);
    if (found === undefined) return [`${method} ${url} is not in the document`];
    const [template, { responses }] = found;
    this.seen.add(`${method} ${template} ${status}`);
    const response = responses[status];
    if (response === undefined) return [`${method} ${template} does not say that it may answer ${status}`];
    const [type] = Object.keys(response.content ?? {});
    if (type === undefined) return body === undefined ? [] : ['a body that nobody expects'];
    if (headers['content-type'] !== type) return [`the type is ${String(headers['content-type'])}, not ${type}`];
    const escape = (text: string): string => text.replaceAll('~', '~0').replaceAll('/', '~1');
    const validate = this.validator(
      `/paths/${escape(template)}/${method.toLowerCase()}/responses/${status}/content/${escape(type)}/schema`,
    );
    return validate(body) ? [] : (validate.errors ?? []).map((error) => `${method} ${url}: ${error.instancePath} ${error.message}`);
  }
}

async function checked(plyd: Plyd, checker: Checker, method: string, url: string, body?: object): Promise<string[]> {
  const answer = await plyd.request(method, url, body);
  const { status, headers, text } = answer;
  if (headers['content-type']?.startsWith('text/') === true) return checker.check(method, url, status, headers, text);
  if (headers['content-type'] !== 'application/x-ndjson') return checker.check(method, url, status, headers, answer.body);
  const lines = text.trim().split('\n');
  return lines.flatMap((line) => checker.check(method, url, status, headers, JSON.parse(line)));
}

testWithPlyd('every route answers as the document says', async (t, plyd) => {
  const document = await plyd.must<Document>('GET', '/v1/openapi.json');
  t.equal(document.openapi, '3.1.0');
  const checker = new Checker(document);
  const base = path.join(plyd.base, 'base');
  const point = path.join(plyd.base, 'm');
  await plyd.image();
  fs.mkdirSync(point);
  const file = (name: string): string => path.join(plyd.base, name);
  await sh('tar -C "$1" -cf "$2" .', base, file('root.tar'));
  const requests: [string, string, object?][] = [
    ['GET', '/v1/info'],
    ['GET', '/v1/openapi.json'],
    ['GET', '/v1/healthz'],
    ['GET', '/v1/readyz'],
    ['POST', '/v1/images/import', { path: file('root.tar'), tags: ['imported'] }],
    ['POST', '/v1/images/import', { path: file('root.tar') }],
    ['POST', '/v1/images/import', { path: file('none.tar') }],
    ['POST', '/v1/images/import', { path: 1 }],
    ['GET', '/v1/images/imported'],
    ['GET', '/v1/images/imported/history'],
    ['GET', '/v1/images/none/history'],
    ['GET', '/v1/images/imported/tree'],
    ['GET', '/v1/images/none/tree'],
    ['POST', '/v1/images/imported/export', { path: file('out.tar') }],
    ['POST', '/v1/images/none/export', { path: file('out.tar') }],
    ['POST', '/v1/containers', { image: 'imported', name: 'i' }],
    ['POST', '/v1/containers/i/commit', { tag: 'committed', message: 'm', author: 'a', changes: ['CMD x'] }],
    ['POST', '/v1/containers/none/commit', {}],
    ['GET', '/v1/df'],
    ['GET', '/v1/df?verbose=true'],
    ['POST', '/v1/fsck'],
    ['DELETE', '/v1/containers/i'],
    ['DELETE', '/v1/images/committed'],
    ['DELETE', '/v1/images/imported'],
    ['POST', '/v1/prune'],
    ['GET', '/v1/layers'],
    ['GET', '/v1/layers/top'],
    ['GET', '/v1/layers/none'],
    ['POST', '/v1/layers/top/verify'],
    ['POST', '/v1/layers/none/verify'],
    ['POST', '/v1/layers', { path: base }],
    ['POST', '/v1/layers', { path: point, name: 'third' }],
    ['POST', '/v1/layers', { path: 1 }],
    ['GET', '/v1/images'],
    ['GET', '/v1/images/img'],
    ['GET', '/v1/images/none'],
    ['POST', '/v1/images', { name: 'other', layers: ['top'] }],
    ['POST', '/v1/images', { name: 'other', layers: ['top'] }],
    ['POST', '/v1/images', { name: 'third', layers: ['none'] }],
    ['POST', '/v1/images/other/tag', { name: 'other:2' }],
    ['POST', '/v1/images/other/tag', { name: 'a b' }],
    ['POST', '/v1/images/none/tag', { name: 'x' }],
    ['DELETE', '/v1/images/other'],
    ['DELETE', '/v1/images/other:2'],
    ['DELETE', '/v1/images/other'],
    ['DELETE', '/v1/layers/top'],
    ['POST', '/v1/containers', { image: 'img', name: 'c' }],
    ['POST', '/v1/containers', { image: 'img', name: 'c' }],
    ['POST', '/v1/containers', { image: 'none' }],
    ['POST', '/v1/containers', {}],
    ['GET', '/v1/containers'],
    ['GET', '/v1/containers?size=true'],
    ['GET', '/v1/containers/c'],
    ['GET', '/v1/containers/c?size=true'],
    ['GET', '/v1/containers/none'],
    ['POST', '/v1/containers/c/start'],
    ['POST', '/v1/containers/none/start'],
    ['GET', '/v1/info'],
    ['GET', '/v1/mounts'],
    ['GET', '/v1/containers/c/diff'],
    ['GET', '/v1/containers/none/diff'],
    ['DELETE', '/v1/containers/c'],
    ['POST', '/v1/containers/c/stop'],
    ['POST', '/v1/containers/none/stop'],
    ['DELETE', '/v1/containers/c'],
    ['DELETE', '/v1/containers/c'],
    ['POST', '/v1/mounts', { mountpoint: point, lower: [base] }],
    ['POST', '/v1/mounts', { mountpoint: point, lower: [base] }],
    ['GET', '/v1/mounts'],
    ['GET', '/v1/stats'],
    ['GET', '/v1/metrics'],
    ['DELETE', '/v1/mounts/none'],
  ];
  for (const [method, url, body] of requests) t.same(await checked(plyd, checker, method, url, body), [], `${method} ${url}`);
  const [{ id }] = await plyd.mounts();
  t.same(await checked(plyd, checker, 'DELETE', `/v1/mounts/${id}`), []);
  t.same(await checked(plyd, checker, 'DELETE', '/v1/images/img'), []);
  t.same(await checked(plyd, checker, 'DELETE', '/v1/layers/top'), []);

  const layout = writeFiles(
    path.join(plyd.base, 'layout'),
    layoutFiles(makeImage({ layers: [tar({ name: 'f', content: 'x' })], tag: 'imported' })),
  );
  for (const [url, body] of [
    ['/v1/images/import', { path: layout }],
    ['/v1/fsck', undefined],
  ] as const) {
    const { status, headers, text } = await plyd.text('POST', url, body);
    const lines = text.trim().split('\n');
    for (const line of lines) t.same(checker.check('POST', url, status, headers, JSON.parse(line)), [], line);
    t.hasProp(JSON.parse(lines.at(-1)!) as object, 'result');
  }
  t.same(await checked(plyd, checker, 'POST', '/v1/images/import', { path: point }), [], 'a refusal is a plain answer');
  t.same(await checked(plyd, checker, 'GET', '/v1/df?verbose=true'), []);
  t.same(await checked(plyd, checker, 'POST', '/v1/prune?all=true'), []);

  const { events, close } = await plyd.listen('?since=0');
  await until('events', () => events.length > 5);
  close();
  for (const event of events) t.same(checker.check('GET', '/v1/events', 200, { 'content-type': 'application/x-ndjson' }, event), []);

  // Every operation was asked, and every success that it names was seen.
  for (const [template, operations] of Object.entries(document.paths)) {
    for (const [method, { responses }] of Object.entries(operations)) {
      const [success] = Object.keys(responses).filter((status) => status < '300');
      t.ok(checker.seen.has(`${method.toUpperCase()} ${template} ${success}`), `${method} ${template} ${success}`);
    }
  }
});

testWithPlyd('an answer about names that are not UTF-8, and about a busy mount, is as the document says', async (t, plyd) => {
  const checker = new Checker(await plyd.must<Document>('GET', '/v1/openapi.json'));
  await plyd.image();
  await plyd.create('img', 'c');
  const { mountpoint } = await plyd.begin('c');
  await sh('cd "$1" && : >"$(printf "caf\\351")"', mountpoint!);
  t.same(await checked(plyd, checker, 'GET', '/v1/containers/c/diff'), []);
  const { changes } = await plyd.must<{ changes: { pathBase64?: string }[] }>('GET', '/v1/containers/c/diff');
  t.same(changes, [{ kind: 'A', path: '/caf\ufffd', pathBase64: Buffer.from('/caf\xe9', 'latin1').toString('base64') }]);
  const holder = fs.openSync(`${mountpoint}/etc/motd`, 'r');
  t.same(await checked(plyd, checker, 'POST', '/v1/containers/c/stop'), []);
  t.match(await plyd.refused('POST', '/v1/containers/c/stop'), { code: 'busy', processes: [{ pid: process.pid }] });
  fs.closeSync(holder);
});

testWithPlyd('the document names its operations, and schemas have no loose ends', async (t, plyd) => {
  const document = await plyd.must<Document>('GET', '/v1/openapi.json');
  const ids = Object.values(document.paths).flatMap((operations) => Object.values(operations).map(({ operationId }) => operationId));
  t.equal(new Set(ids).size, ids.length, 'each has a name of its own');
  t.equal(ids.length, 35);
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name);
  for (const name of new Set(references)) t.ok(document.components.schemas[name], name);
});

void t.test('nothing is left behind', async (t) => t.same(await leftBehind(), []));
