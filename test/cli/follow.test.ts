/** What goes on until Ctrl-C: ply stats --watch and ply events --follow, into a pipe and on a terminal. plyd is a stand-in. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type http from 'node:http';
import t from 'tap';
import { nothingLeft, plyScript, StandIn, stats } from './stand-in.js';

const LIMIT_MS = 60_000;
const CTRL_C = '\x03';

/** A command that runs, and what it has said so far. */
class Running {
  said = '';
  errors = '';
  readonly ended: Promise<[status: number | null, signal: string | null]>;
  private readonly child: ChildProcess;
  private readonly limit: NodeJS.Timeout;

  constructor(socket: string, command: string, terminal: boolean) {
    const { NO_COLOR: _, ...rest } = process.env;
    const env = { ...rest, TERM: 'xterm', PLY_SOCKET: socket };
    const words = [process.execPath, plyScript, ...command.split(' ')];
    const [program, ...args] = terminal ? ['script', '-qec', words.map((word) => `'${word}'`).join(' '), '/dev/null'] : words;
    this.child = spawn(program, args, { env });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.said += text));
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.errors += text));
    this.ended = once(this.child, 'close') as Promise<[number | null, string | null]>;
    this.limit = setTimeout(() => this.child.kill('SIGKILL'), LIMIT_MS);
    void this.ended.then(() => clearTimeout(this.limit));
  }

  /** Waits until it has said so much. */
  async says(enough: (said: string) => boolean): Promise<string> {
    while (!enough(this.said)) {
      const ended = await Promise.race([once(this.child.stdout!, 'data').then(() => false), this.ended.then(() => true)]);
      if (ended && !enough(this.said)) throw new Error(`it has ended: ${this.said}${this.errors}`);
    }
    return this.said;
  }

  type(keys: string): void {
    this.child.stdin!.write(keys);
  }

  interrupt(): void {
    this.child.kill('SIGINT');
  }

  /** Nobody reads what it says any more. */
  hangUp(): void {
    this.child.stdout!.destroy();
  }
}

const times = (text: string, part: string): number => text.split(part).length - 1;

async function withPlyd(body: (plyd: StandIn) => Promise<void>): Promise<void> {
  const plyd = await StandIn.listen();
  try {
    await body(plyd);
  } finally {
    await plyd.end();
  }
}

/** Answers as the API does with events: the response stays open. */
async function eventStream(plyd: StandIn, request: string): Promise<http.ServerResponse> {
  return new Promise((resolve) =>
    plyd.on(request, (_, response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' });
      response.flushHeaders();
      resolve(response);
    }),
  );
}

const event = (seq: number, name: string): string =>
  `${JSON.stringify({ seq, time: '2026-11-30T10:00:00.000Z', type: 'container.start', id: 'ab'.repeat(32), name })}\n`;

void t.test('stats --watch asks again and again, until a signal', async (t) => {
  await withPlyd(async (plyd) => {
    let round = 0;
    plyd.on('GET /stats', (_, response) => {
      const { mounts, ...rest } = stats() as { mounts: Record<string, unknown>[] };
      response.end(JSON.stringify({ ...rest, mounts: [{ ...mounts[0], operations: { LOOKUP: ++round * 1000 } }] }));
    });
    const plain = new Running(plyd.socket, 'stats --watch', false);
    const said = await plain.says((text) => times(text, 'engine died') >= 2);
    plain.interrupt();
    t.same(await plain.ended, [130, null]);
    t.match(said, /^MOUNT +REQUESTS[^]*777777777777 +1000 [^]*777777777777 +2000 /, 'the numbers of each time');
    t.notOk(said.includes('\x1b'), 'a pipe gets no control characters');

    const json = new Running(plyd.socket, 'stats --watch --json', false);
    const lines = (await json.says((text) => times(text, '\n') >= 2)).split('\n');
    json.interrupt();
    await json.ended;
    t.same(
      lines.slice(0, 2).map((line) => (JSON.parse(line) as { mounts: { operations: object }[] }).mounts[0].operations),
      [{ LOOKUP: (round - 1) * 1000 }, { LOOKUP: round * 1000 }],
      'an object a line',
    );
  });
});

void t.test('stats --watch on a terminal begins at its top each time, and Ctrl-C ends it', async (t) => {
  await withPlyd(async (plyd) => {
    plyd.on('GET /stats', { body: stats() });
    const shown = new Running(plyd.socket, 'stats --watch', true);
    const said = await shown.says((text) => times(text, '\x1b[H\x1b[2J') >= 2);
    shown.type(CTRL_C);
    await shown.ended;
    t.match(said, /^\x1b\[H\x1b\[2J\x1b\[1mMOUNT/);
    t.equal(times(said.slice(0, said.lastIndexOf('\x1b[H')), '777777777777'), times(said, '\x1b[H') - 1);
  });
});

void t.test('events --follow shows each as it comes', async (t) => {
  for (const terminal of [false, true]) {
    await withPlyd(async (plyd) => {
      const began = eventStream(plyd, 'GET /events');
      const events = new Running(plyd.socket, 'events --follow', terminal);
      const response = await began;
      for (const [seq, name] of ['one', 'two', 'three'].entries()) {
        response.write(event(seq, name));
        await events.says((text) => text.includes(name)); // nothing waits in a buffer for more
      }
      if (terminal) events.type(CTRL_C);
      else events.interrupt();
      await events.ended;
      const text = events.said.replace(/\x1b\[\d+m/g, '').replaceAll('\r', '');
      t.match(text, /^2026-11-30T10:00:00.000Z 0 container.start abababababab one\n.* 1 .* two\n.* 2 .* three\n/);
      t.equal(events.said.includes('\x1b[1m'), terminal, 'in colours on a terminal only');
    });
  }
});

void t.test('events --json into a pipe is what plyd said; it ends when nobody reads, and says so when plyd does', async (t) => {
  await withPlyd(async (plyd) => {
    let began = eventStream(plyd, 'GET /events?since=3');
    const events = new Running(plyd.socket, 'events --since 3 --json', false);
    let response = await began;
    response.write(event(4, 'four'));
    t.equal(await events.says((text) => text.endsWith('\n')), event(4, 'four'));
    response.end();
    t.same(await events.ended, [1, null]);
    t.match(events.errors, /plyd ended the events/);

    began = eventStream(plyd, 'GET /events');
    const left = new Running(plyd.socket, 'events', false);
    response = await began;
    response.write(event(5, 'five'));
    await left.says((text) => text.includes('five'));
    left.hangUp();
    const more = setInterval(() => response.write(event(6, 'six')), 100);
    const [status] = await left.ended;
    clearInterval(more);
    t.equal(status, 0);
    t.equal(left.errors, '');
  });
});

t.teardown(nothingLeft);
