/**
 * plyd: configuration, log, catalog, engines, what an earlier plyd left, the API, and the end.
 */
import fs from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { Metrics } from './api/metrics';
import { routes } from './api/routes';
import { ApiServer } from './api/server';
import type { Info } from './api/types';
import { forgetImports } from './images/prune';
import { type Config, ConfigError, HELP, readConfig } from './config';
import { mayPassThrough } from './engine/privileges';
import { AS_ASKED, hindrance, insteadOfUring, OVER_URING } from './engine/transport';
import { sweepExports } from './images/export';
import { listen, listenOn } from './listen';
import { type Log, openLog, openPrettyLog } from './log';
import { Containers } from './mounts/containers';
import { Events } from './mounts/events';
import { Exclusive, Taken } from './mounts/exclusive';
import { Handover } from './mounts/handover';
import { Keeper } from './mounts/keeper';
import { Locks } from './mounts/lock';
import { refusalOf } from './mounts/peer';
import { enterOwnNamespaces } from './mounts/rootless';
import { Practice } from './mounts/practice';
import { Recovery } from './mounts/recovery';
import { collectStatistics, hindrances } from './mounts/statistics';
import { Supervisor } from './mounts/supervisor';
import { MountWatch } from './mounts/watch';
import { API_SOCKET, CONTAINERD_SOCKET, passOn, Service } from './service';
import type { SnapshotServer } from './snapshotter/server';
import { Catalog, StoreError } from './store';

/** How long requests that run may take when plyd ends. */
const FINISH_MS = 10_000;

export async function main(args: readonly string[]): Promise<void> {
  try {
    const asked = readConfig(args, process.env);
    if (asked.action === 'help') fs.writeSync(1, HELP);
    else if (asked.action === 'version') fs.writeSync(1, `plyd ${version()}\n`);
    else if (asked.action === 'dump') fs.writeSync(1, shown().dump(asked.sources, asked.json));
    else if (asked.action === 'check') {
      const { text, ok } = shown().check(asked.file, asked.named, asked.json);
      fs.writeSync(1, text);
      process.exitCode = ok ? 0 : 2;
    } else {
      enterOwnNamespaces(() => passOn(process.env));
      await Daemon.start(asked.config);
    }
  } catch (error) {
    const expected = error instanceof ConfigError || error instanceof StoreError;
    fs.writeSync(2, `plyd: ${expected ? error.message : ((error as Error).stack ?? String(error))}\n`);
    process.exit(error instanceof ConfigError ? 2 : 1);
  }
}

function shown(): typeof import('./config-shown') {
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- a daemon does not need it
  return require('./config-shown') as typeof import('./config-shown');
}

function version(): string {
  return (JSON.parse(fs.readFileSync(join(__dirname, '..', '..', 'package.json'), 'utf8')) as { version: string }).version;
}

class Daemon {
  private readonly startedAt = new Date();
  private readonly version = version();
  private ending = false;

  private constructor(
    private readonly config: Config,
    private readonly log: Log,
    private readonly lock: Exclusive,
    private readonly catalog: Catalog,
    private readonly supervisor: Supervisor,
    private readonly service: Service,
    /** -1: none was passed */
    private readonly containerdFd: number,
  ) {}

  static async start(config: Config): Promise<void> {
    process.umask(0o022);
    process.chdir('/');
    const { log, stream } = openDaemonLog(config);
    const service = Service.take(process.env, (errno, address) => log.warn({ errno, address }, 'the service manager cannot be told'));
    const containerdFd = service.socket(CONTAINERD_SOCKET); // before all else: whether it is there says whether mounts are kept
    config.keepMounts ??= config.containerdSocket !== undefined || containerdFd >= 0;
    const lock = lockRoot(config.root);
    const { root } = config;
    for (const directory of ['containers', 'layers', 'engines', 'snapshots'])
      fs.mkdirSync(join(root, directory), { recursive: true, mode: 0o700 });
    const catalog = Catalog.open(root);
    const events = new Events();
    const locks = new Locks();
    const watch = new MountWatch(catalog, events, locks, log);
    const supervisor = new Supervisor(engineSettings(config, stream), log, watch);
    watch.supervisor = supervisor;
    const daemon = new Daemon(config, log, lock, catalog, supervisor, service, containerdFd);
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => daemon.signalled(signal));
    process.on('SIGHUP', () => undefined); // the terminal that started us is none of our business
    process.on('uncaughtException', (error) => {
      log.fatal({ err: error }, 'plyd failed: its engines go on, the next plyd takes them over');
      process.exit(1);
    });
    log.info({ version: daemon.version, root, socket: config.socket }, 'plyd starts');
    service.status('Taking over what an earlier plyd has left');
    const left = await forgetImports(catalog);
    if (left.length > 0) log.info({ directories: left }, 'what an earlier plyd was importing is removed');
    await new Recovery(catalog, supervisor, events, log).run();
    sweepExports(root).then(
      (paths) => paths.length > 0 && log.warn({ paths }, 'removed what an export had begun that never ended'),
      (error: unknown) => log.error({ err: error }, 'cannot remove what exports have left'),
    );
    await daemon.serve(locks, events);
  }

  private async serve(locks: Locks, events: Events): Promise<void> {
    const { catalog, supervisor, config, log } = this;
    const keeper = new Keeper(catalog, supervisor, locks);
    const containers = new Containers(catalog, keeper, events, locks);
    const group = config.group ?? process.getegid!();
    const metrics = new Metrics();
    const server = new ApiServer({
      routes: routes({
        catalog,
        keeper,
        containers,
        events,
        info: () => this.info(),
        stats: () => collectStatistics(supervisor, catalog),
        hindrances: () => hindrances(supervisor, catalog),
        metrics,
      }),
      metrics,
      log,
      refuse: (socket) => refusalOf(socket, group),
    });
    let socketLock: Exclusive;
    let endSnapshots: () => Promise<void>;
    try {
      socketLock = await this.listen(server.http);
      endSnapshots = await this.serveSnapshots(keeper, locks, group);
    } catch (error) {
      await this.putDown();
      throw error;
    }
    const others = this.service.closeOthers();
    if (others.length > 0)
      log.warn({ sockets: others }, 'sockets were passed that plyd has no use for: "api" is its API, "containerd" for containerd');
    const handover = new Handover(keeper, events, log, config.socket);
    this.end = async () => {
      handover.close();
      await endSnapshots();
      await server.close(FINISH_MS);
      socketLock.release();
    };
    log.info({ socket: config.socket, ...catalog.counts() }, 'plyd is ready');
    this.service.ready(this.summary());
    // counting takes time, which whoever waits for a mount has to wait
    if (this.service.isTold) events.listen(undefined, () => this.ending || this.service.status(this.summary()));
    if (config.warmEngine) supervisor.keepWarm(new Practice(config.root, supervisor.blocking, log));
    if (this.ending) void this.finish();
  }

  /** On the socket that was passed, if one was; else on one of its own. */
  private async listen(http: ApiServer['http']): Promise<Exclusive> {
    const { config } = this;
    const fd = this.service.socket(API_SOCKET);
    if (fd < 0) return await listen(http, config.socket, config.group);
    const { path, lock } = await listenOn(http, fd);
    config.socket = path;
    return lock;
  }

  /** For `systemctl status`. */
  private summary(): string {
    const { mounts } = this.catalog.counts();
    const engines = this.supervisor.running.length;
    return `Serving ${mounts} mount${mounts === 1 ? '' : 's'} with ${engines} engine${engines === 1 ? '' : 's'}`;
  }

  /** Returns what ends it. gRPC is loaded only here: it takes as long as all the rest of the start. */
  private async serveSnapshots(keeper: Keeper, locks: Locks, group: number): Promise<() => Promise<void>> {
    const { catalog, config, log, containerdFd } = this;
    if (config.containerdSocket === undefined && containerdFd < 0) return () => Promise.resolve();
    // eslint-disable-next-line @typescript-eslint/no-require-imports -- most plyds have no such socket
    const { SnapshotServer } = require('./snapshotter/server') as typeof import('./snapshotter/server');
    const server = new SnapshotServer({ catalog, keeper, locks, log, refuse: (socket) => refusalOf(socket, group) });
    const { path, lock } = await this.listenForContainerd(server.socket);
    log.info({ socket: path }, "plyd is containerd's snapshotter");
    return async () => {
      await server.close(FINISH_MS);
      lock.release();
    };
  }

  /** As listen(). Whoever has configured another path than the one that was passed is told, as that one is waited at in vain. */
  private async listenForContainerd(server: SnapshotServer['socket']): Promise<{ path: string; lock: Exclusive }> {
    const { config, log, containerdFd } = this;
    const asked = config.containerdSocket;
    if (containerdFd < 0) return { path: asked!, lock: await listen(server, asked!, config.group) };
    const passed = await listenOn(server, containerdFd);
    if (asked !== undefined && asked !== passed.path)
      log.warn(
        { configured: asked, passed: passed.path },
        'containerd-socket is not listened on: the service manager has passed another one',
      );
    return passed;
  }

  private end: (() => Promise<void>) | undefined;

  private info(): Info {
    const engines = this.supervisor.running.map(({ pid, level, workers, load, startedAt, restarts, isWarm }) => ({
      pid,
      level,
      workers,
      mounts: load,
      startedAt: startedAt.toISOString(),
      restarts,
      warm: isWarm,
    }));
    const kernel = release();
    return {
      version: this.version,
      pid: process.pid,
      root: this.config.root,
      socket: this.config.socket,
      kernel,
      startedAt: this.startedAt.toISOString(),
      transport: transportInfo(this.config.transport),
      passthrough: mayPassThrough() && hasPassthrough(kernel),
      engines,
      counts: this.catalog.counts(),
    };
  }

  // ---- the end ---------------------------------------------------------------------------------------------------------------------------------

  private signalled(signal: NodeJS.Signals): void {
    if (this.ending) {
      this.log.warn({ signal }, 'ending at once');
      process.exit(1);
    }
    this.ending = true;
    this.service.stopping(this.config.keepMounts ? 'Leaving the mounts to their engines' : 'Unmounting');
    this.log.info({ signal, keepMounts: this.config.keepMounts }, 'plyd ends');
    if (this.end !== undefined) void this.finish();
  }

  private async finish(): Promise<void> {
    try {
      await this.end?.();
      await this.putDown();
      this.log.info({}, 'plyd has ended');
      process.exit(0);
    } catch (error) {
      this.log.fatal({ err: error }, 'plyd could not end as it should');
      process.exit(1);
    }
  }

  /** Nothing stays mounted, and the catalog says so; or all stays, for the next plyd. */
  private async putDown(): Promise<void> {
    const { catalog, supervisor } = this;
    if (this.config.keepMounts) {
      await supervisor.leave();
    } else {
      await supervisor.shutDown();
      catalog.transaction(() => {
        for (const { id, container } of catalog.mounts.all()) {
          catalog.mounts.remove(id);
          if (container !== null) catalog.containers.stopped(container);
        }
      });
    }
    catalog.close();
    fs.rmSync(join(this.config.root, 'plyd.pid'), { force: true });
    this.lock.release();
  }
}

function openDaemonLog({ logLevel, logPretty = process.stderr.isTTY }: Config): { log: Log; stream: Writable | undefined } {
  if (logPretty) return openPrettyLog(logLevel, process.stderr.isTTY);
  return { log: openLog(logLevel, { name: 'plyd' }), stream: undefined };
}

/** Engines log to where we do; for people, through what makes it readable. */
function engineSettings(config: Config, stream: Writable | undefined): ConstructorParameters<typeof Supervisor>[0] {
  const { root, workers, logLevel, transport } = config;
  return {
    directory: join(root, 'engines'),
    logLevel,
    log: stream ?? 2,
    label: `plyd ${root}`,
    ...(workers !== undefined && { workers }),
    transport,
  };
}

/** How a mount is served that is made now and does not say how. */
function transportInfo(wanted: Config['transport']): Info['transport'] {
  if (wanted === 'dev') return AS_ASKED;
  const reason = hindrance();
  return reason === undefined ? OVER_URING : insteadOfUring(reason);
}

/** The store's directory: made, ours alone, and no other plyd's. */
function lockRoot(root: string): Exclusive {
  try {
    fs.mkdirSync(root, { recursive: true, mode: 0o700 });
    fs.chmodSync(root, 0o700);
    const lock = Exclusive.take(join(root, 'plyd.lock'));
    fs.writeFileSync(join(root, 'plyd.pid'), `${process.pid}\n`);
    return lock;
  } catch (error) {
    if (!(error instanceof Taken)) throw new ConfigError(`cannot use ${root}: ${(error as Error).message}`);
    throw new ConfigError(`another plyd (process ${pidOf(root)}) has ${root}: use that one, or give this one another --root`);
  }
}

function pidOf(root: string): string {
  try {
    return fs.readFileSync(join(root, 'plyd.pid'), 'utf8').trim();
  } catch {
    return 'unknown';
  }
}

/** FUSE_PASSTHROUGH came with Linux 6.9. */
function hasPassthrough(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map((part) => parseInt(part, 10));
  return major > 6 || (major === 6 && minor >= 9);
}

if (require.main === module) void main(process.argv.slice(2));
