/** What ply shows of the API's objects: into a pipe, on a terminal, and as JSON. */
import t from 'tap';
import {
  containerDetail,
  containers,
  imageDetail,
  images,
  info,
  stats,
  layers,
  mounts,
  nothingLeft,
  onTerminal,
  shell,
  since,
  sized,
  StandIn,
} from './stand-in.js';

let plyd: StandIn;
t.before(async () => {
  plyd = await StandIn.listen();
  plyd
    .on('GET /containers', { body: { containers: containers() } })
    .on('GET /containers?size=true', { body: { containers: sized() } })
    .on('GET /images', { body: { images: images() } })
    .on('GET /layers', { body: { layers: layers() } })
    .on('GET /mounts', { body: { mounts: mounts() } })
    .on('GET /info', { body: info() })
    .on('GET /stats', { body: stats() })
    .on('GET /containers/web1?size=true', { body: containerDetail() })
    .on('GET /images/web', { body: imageDetail() })
    .on('GET /layers/app', { body: layers()[0] })
    .on('GET /layers/base', { body: layers()[1] });
});
t.teardown(async () => {
  await plyd.end();
  await nothingLeft();
});

const GOLDEN: [command: string, shown: string][] = [
  [
    'ps',
    `CONTAINER ID   NAME   IMAGE   CREATED          STATUS                MOUNTPOINT
aaaaaaaaaaaa   web1   web     2 hours ago      Up 3 minutes          /r/a/merged
dddddddddddd   bad    web     40 minutes ago   Failed: no\\x0aupper
`,
  ],
  [
    'ps -as',
    `CONTAINER ID   NAME   IMAGE   CREATED              STATUS                SIZE                            MOUNTPOINT
aaaaaaaaaaaa   web1   web     2 hours ago          Up 3 minutes          12.3MB (45 files, 1 whiteout)   /r/a/merged
bbbbbbbbbbbb   web2   web     3 days ago           Created               0B (0 files, 0 whiteouts)
cccccccccccc   old    web     About a minute ago   Stopped               999B (1 file, 0 whiteouts)
dddddddddddd   bad    web     40 minutes ago       Failed: no\\x0aupper   4.1kB (2 files, 0 whiteouts)
`,
  ],
  ['ps -aq', 'aaaaaaaaaaaa\nbbbbbbbbbbbb\ncccccccccccc\ndddddddddddd\n'],
  [
    'images',
    `NAME      IMAGE ID       LAYERS   CREATED          SIZE    UNIQUE   CONTAINERS
web       111111111111   2        10 minutes ago   123MB   457kB    4
web:1.2   111111111111   2        10 minutes ago   123MB   457kB    4
<none>    222222222222   2        10 minutes ago   123MB   457kB    0
`,
  ],
  ['images -q', '111111111111\n222222222222\n'],
  ['images -q --dangling', '222222222222\n'],
  [
    'layer ls',
    `LAYER ID       NAME   ENTRIES   SIZE    CREATED       PATH
eeeeeeeeeeee   app    12        1kB     3 days ago    /srv/app
ffffffffffff          34567     1.5GB   2 weeks ago   /srv/base
`,
  ],
  [
    'mounts',
    `MOUNT ID       MOUNTPOINT    LAYERS   MODE   CREATED         STATE     CONTAINER      SNAPSHOT
777777777777   /r/a/merged   2        rw     3 minutes ago   mounted   aaaaaaaaaaaa
888888888888   /mnt/data     1        ro     3 minutes ago   failed                   default/7/web
`,
  ],
  [
    'info',
    `Version:     0.1.0
Process:     4242, started About an hour ago
Root:        /var/lib/ply
Socket:      /run/ply/ply.sock
Kernel:      6.12.0
Transport:   dev (io_uring is not enabled)
Passthrough: yes
Layers:      2
Images:      1
Containers:  4 (1 running)
Mounts:      2
Engines:     pid 4243, level 1: 1 mount, 2 workers, started About an hour ago, 1 restart
`,
  ],
  [
    'stats',
    `MOUNT          REQUESTS   LOOKUPS   HITS   OPENS   PASSTHROUGH   COPIED UP   MOUNTPOINT
777777777777   1550       1500      80%    50      60%           4.5MB (3)   /r/a/merged

OPERATION   TIMED   MEAN    HALF WITHIN   99% WITHIN
LOOKUP      100     4.5µs   2µs           4µs
engine 4244 does not answer: its mounts are missing here
1 engine died since plyd was started
`,
  ],
  [
    'stats /r/a/merged',
    `MOUNT          REQUESTS   LOOKUPS   HITS   OPENS   PASSTHROUGH   COPIED UP   MOUNTPOINT
777777777777   1550       1500      80%    50      60%           4.5MB (3)   /r/a/merged

KIND     TIMED   MEAN     HALF WITHIN   99% WITHIN
lookup   100     4.5µs    2µs           4µs
open     3       10.0µs   16µs          16µs

OPERATION   REQUESTS
LOOKUP      1500
OPEN        40
CREATE      10
`,
  ],
];

t.test('into a pipe: plain tables, sizes and times for people', async (t) => {
  for (const [command, shown] of GOLDEN) t.match(await plyd.ply(...command.split(' ')), { status: 0, stdout: shown, stderr: '' }, command);
  t.match(await plyd.ply('stats', '8888'), { status: 0, stdout: /^nothing is counted of it: / });
});

t.test('on a terminal: the same with colours, which NO_COLOR and TERM=dumb switch off', async (t) => {
  for (const [command, shown] of GOLDEN) {
    const env = { PLY_SOCKET: plyd.socket };
    const { status, stdout } = await onTerminal(command, env);
    t.equal(status, 0);
    t.equal(stdout.replace(/\x1b\[\d+m/g, ''), shown, command);
    t.equal(stdout.includes('\x1b[1m'), !/ -\w*q/.test(command), 'in colours');
    t.equal((await onTerminal(command, { ...env, NO_COLOR: '1' })).stdout, shown);
  }
  t.match(await onTerminal('ps', { PLY_SOCKET: plyd.socket }), { stdout: /\x1b\[32mUp 3 minutes\x1b\[0m +\/r/ });
  t.equal((await onTerminal('images', { PLY_SOCKET: plyd.socket, TERM: 'dumb' })).stdout, GOLDEN[3][1]);
});

t.test("--json: the API's objects, sizes in bytes", async (t) => {
  const json = async (...args: string[]): Promise<unknown> => {
    const { status, stdout, stderr } = await plyd.ply(...args, '--json');
    t.match({ status, stderr }, { status: 0, stderr: '' }, args.join(' '));
    return JSON.parse(stdout);
  };
  const names = (list: unknown): unknown[] => (list as { name: string }[]).map(({ name }) => name);
  t.strictSame(names(await json('ps')), ['web1', 'bad']);
  t.match(await json('ps', '-as'), [{ size: { bytes: 12_345_678, files: 45, whiteouts: 1 } }, {}, {}, {}]);
  t.match(await json('images'), [{ name: 'web', size: 123_456_789, createdAt: /Z$/ }]);
  t.match(await json('layer', 'ls'), [{ size: 1000 }, { name: null }]);
  t.match(await json('mounts'), [{}, { upper: null, state: 'failed' }]);
  t.match(await json('info'), { counts: { containers: 4 }, engines: [{ restarts: 1 }] });
  t.match(await json('inspect', 'web'), { name: 'web' }, 'one REF: its object');
  t.match(await json('inspect', 'web', 'web1'), [{ name: 'web' }, { name: 'web1', size: { files: 45 } }], 'several: an array');
});

t.test('inspect finds any kind of object', async (t) => {
  const rows: [ref: string, shown: RegExp][] = [
    [
      'web1',
      /^Container: +web1\nId: +a{64}\nImage: +web \(1{64}\)\nStatus: +Up 3 minutes\nCreated: +\S+ \(2 hours ago\)\n.*Written: +12\.3MB/s,
    ],
    [
      'web',
      /^Image: +web\n +web:1\.2\n.*Platform: +linux\/amd64\nSize: +123MB, of .*Layers: +sha256:e{64} .*\n +sha256:f{64} .*Config: +Cmd=/s,
    ],
    ['app', /^Layer: +app\n.*Path: +\/srv\/app\n.*Tree digest: +sha256:00\n$/s],
    [
      '/mnt/../mnt/data',
      /^Mount: +8{64}\nMountpoint: +\/mnt\/data\nState: +failed\nLower: +\/srv\/base\nOptions: +nodev\nSnapshot: +default\/7\/web\nCreated: .*\n$/,
    ],
    ['88888', /^Mount: +8{64}\n/],
  ];
  for (const [ref, shown] of rows) t.match(await plyd.ply('inspect', ref), { status: 0, stdout: shown, stderr: '' }, ref);
  t.match(await plyd.ply('layer', 'inspect', 'app', 'base'), { status: 0, stdout: /^Layer: +app\n.*\n\nLayer: +f{64}\n/s });
  t.match(await plyd.ply('inspect', '--type', 'layer', 'web'), { status: 1, stderr: /^ply: there is no web\n/ });
  t.match(await plyd.ply('inspect', '--type', 'thing', 'web'), { status: 2, stderr: /container/ });
});

t.test('diff: names go into a pipe byte by byte, and to a terminal without control characters', async (t) => {
  const changes = [
    { kind: 'C', path: '/etc' },
    { kind: 'A', path: '/etc/new\nline' },
    { kind: 'D', path: '/etc/\ufffd', pathBase64: Buffer.from('/etc/\xff', 'latin1').toString('base64') },
  ];
  plyd.on('GET /containers/web1/diff', { body: { changes } });
  const env = { PLY_SOCKET: plyd.socket };
  t.match(await shell('ply diff web1 | od -An -c | tr -s " \\n" " "', env), {
    stdout: ' C / e t c \\n A / e t c / n e w \\n l i n e \\n D / e t c / 377 \\n ',
  });
  t.match(await onTerminal('diff web1', env), {
    stdout: '\x1b[33mC\x1b[0m /etc\n\x1b[32mA\x1b[0m /etc/new\\x0aline\n\x1b[31mD\x1b[0m /etc/\ufffd\n',
  });
  t.same(JSON.parse((await plyd.ply('diff', 'web1', '--json')).stdout), changes);
});

t.test('events come as they happen, one line each', async (t) => {
  const events = [
    { seq: 7, time: '2026-01-02T03:04:05Z', type: 'container.start', id: 'a'.repeat(64), name: 'web1' },
    { seq: 8, time: '2026-01-02T03:04:06Z', type: 'engine.exit', id: '4243', detail: 'killed by\x1b SIGKILL' },
  ];
  plyd.on('GET /events?since=6', (_, response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
    const text = events.map((event) => `${JSON.stringify(event)}\n`).join('');
    response.write(text.slice(0, 200)); // in the middle of a line
    setTimeout(() => response.write(text.slice(200)), 100);
  });
  const env = { PLY_SOCKET: plyd.socket };
  const shown =
    '2026-01-02T03:04:05Z 7 container.start aaaaaaaaaaaa web1\n2026-01-02T03:04:06Z 8 engine.exit 4243 killed by\\x1b SIGKILL\n';
  const NOTICE = /^(\[1\]\+ +Exit 130 .*\n)?$/; // bash's, of its job
  const interrupted = `ply events --since 6 "$@" & sleep 1; kill -INT -$!; wait $!; echo "status $?"`;
  const inBackground = `set -m; ${interrupted}`; // a process group of its own
  t.match(await shell(inBackground, env), { stdout: `${shown}status 130\n`, stderr: NOTICE });
  t.match(await shell(inBackground.replace('"$@"', '--json'), env), {
    stdout: `${events.map((event) => JSON.stringify(event)).join('\n')}\nstatus 130\n`,
    stderr: NOTICE,
  });
  t.match(await shell('ply events --since 6 | head -n 1; echo "${PIPESTATUS[@]}"', env), { stdout: `${shown.split('\n')[0]}\n` });
  plyd.on('GET /events', (_, response) => response.end(`${JSON.stringify(events[0])}\n`));
  t.match(await plyd.ply('events'), { status: 1, stdout: /^2026.*web1\n$/, stderr: /^ply: plyd ended the events/ });
});

t.test('a reader that leaves is no error', async (t) => {
  const many = Array.from({ length: 20_000 }, (_, at) => ({ kind: 'A', path: `/a/rather/long/path/number/${at}` }));
  plyd.on('GET /containers/many/diff', { body: { changes: many } });
  t.match(await shell('ply diff many | head -n 1; echo "${PIPESTATUS[@]}"', { PLY_SOCKET: plyd.socket }), {
    stdout: 'A /a/rather/long/path/number/0\n0 0\n',
    stderr: '',
  });
  t.equal((await plyd.ply('diff', 'many')).stdout.split('\n').length, 20_001, 'and all of it comes to one that stays');
});

t.test('what takes long counts the seconds, on a terminal only', async (t) => {
  plyd.on('POST /layers', (_, response) => {
    setTimeout(() => response.writeHead(201).end(JSON.stringify({ ...layers()[0], createdAt: since(0) })), 1500);
  });
  const env = { PLY_SOCKET: plyd.socket };
  t.match(await onTerminal('layer add /srv/app', env), { stdout: /^\rindexing \/srv\/app … 1 s\r\x1b\[Ke{64}\n$/ });
  t.match(await plyd.ply('layer', 'add', '/srv/app'), { stdout: `${'e'.repeat(64)}\n`, stderr: '' });
});
