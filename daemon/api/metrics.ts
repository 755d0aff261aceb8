/** GET /v1/metrics: what is counted, in Prometheus' text format. What engines count is read when it is asked for; requests of the API are counted here. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { StoreSizes } from '../store';
import type { Info, Stats, Times } from './types';

export const METRICS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

const SAMPLED =
  'without the time for which it waited for a slow job. One request in 17 of a worker is timed: multiply _count to get rates, or take plyfs_operations_total';

type Values = { labels: Record<string, string | number>; value: number; metricName?: string }[];

export class Metrics {
  private readonly api = new Registry();
  private readonly requests = new Counter({
    name: 'plyd_api_requests_total',
    help: 'Requests to the API that were answered, by route',
    labelNames: ['method', 'route', 'status'],
    registers: [this.api],
  });
  private readonly seconds = new Histogram({
    name: 'plyd_api_request_seconds',
    help: 'How long requests to the API took, by route; without those for events',
    labelNames: ['method', 'route'],
    buckets: [0.001, 0.01, 0.1, 1, 10, 100],
    registers: [this.api],
  });

  answered(method: string, route: string, status: number, ms: number): void {
    this.requests.inc({ method, route, status });
    if (route !== '/v1/events') this.seconds.observe({ method, route }, ms / 1000);
  }

  async text(info: Info, stats: Stats, sizes: StoreSizes): Promise<string> {
    return (await this.api.metrics()) + (await collected(info, stats, sizes).metrics());
  }
}

function collected(info: Info, stats: Stats, sizes: StoreSizes): Registry {
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string, value: number): void => new Gauge({ name, help, registers }).set(value);
  new Gauge({ name: 'plyd_info', help: 'Always 1', labelNames: ['version', 'kernel'], registers }).set(
    { version: info.version, kernel: info.kernel },
    1,
  );
  gauge('plyd_start_time_seconds', 'When plyd was started, in seconds since 1970', Date.parse(info.startedAt) / 1000);
  for (const [what, value] of Object.entries(info.counts))
    gauge(`plyd_${what === 'running' ? 'running_containers' : what}`, `How many ${what} there are`, value);
  store(sizes, info, registers);
  gauge('plyd_engines', 'Engines that run', stats.engines.length);
  gauge(
    'plyd_engines_answering',
    'Engines that answered when they were asked for these numbers',
    stats.engines.filter(({ answers }) => answers).length,
  );
  new Counter({
    name: 'plyd_engine_deaths_total',
    help: 'Engines that ended without having been told to, since plyd was started',
    registers,
  }).inc(stats.engineDeaths);
  mounts(stats, registers);
  for (const one of histograms(stats)) registry.registerMetric(one as unknown as Histogram);
  return registry;
}

/** What the catalog knows: what is on disk is not looked at, as `ply df` does. */
function store(sizes: StoreSizes, { counts }: Info, registers: Registry[]): void {
  const gauge = (name: string, help: string, value: number): void => new Gauge({ name, help, registers }).set(value);
  gauge(
    'plyd_uppers',
    'Directories that changes are written to: one for each container, and for each active snapshot',
    counts.containers + sizes.active,
  );
  gauge('plyd_objects', 'Contents of files of imported layers, each once', sizes.objects);
  gauge('plyd_object_bytes', 'Bytes of these, as the catalog has them', sizes.objectBytes);
  const layers = new Gauge({
    name: 'plyd_layer_file_bytes',
    help: 'Bytes of the regular files of layers, as they were indexed; what several layers have counts for each of them',
    labelNames: ['kind'],
    registers,
  });
  layers.set({ kind: 'imported' }, sizes.importedBytes);
  layers.set({ kind: 'directory' }, sizes.directoryBytes);
  const snapshots = new Gauge({ name: 'plyd_snapshots', help: "containerd's snapshots", labelNames: ['kind'], registers });
  snapshots.set({ kind: 'active' }, sizes.active);
  snapshots.set({ kind: 'view' }, sizes.views);
  snapshots.set({ kind: 'committed' }, sizes.committed);
  gauge('plyd_committed_snapshot_bytes', 'Bytes on disk of those that are committed, as it was then', sizes.committedBytes);
}

function mounts({ mounts }: Stats, registers: Registry[]): void {
  const counter = <L extends string>(name: string, help: string, ...more: L[]): Counter<'mount' | 'container' | L> =>
    new Counter({ name, help: `${help}, since the mount was made`, labelNames: ['mount', 'container', ...more], registers });
  const operations = counter('plyfs_operations_total', 'FUSE requests answered', 'operation');
  const opens = counter(
    'plyfs_opens_total',
    'Files opened, by who reads and writes them: the kernel itself (passthrough) or the engine (served)',
    'how',
  );
  const lookups = counter('plyfs_lookups_total', 'LOOKUPs, by whether the node table had the answer (hit) or not', 'result');
  const nodes = counter('plyfs_nodes_read_total', 'Nodes whose attributes were read from a layer or the upper directory');
  const directories = counter('plyfs_directories_read_total', 'Directories that were read from layers and upper directory, and merged');
  const files = counter('plyfs_copied_up_files_total', 'Files whose data were copied to the upper directory');
  const bytes = counter(
    'plyfs_copied_up_bytes_total',
    'Bytes that were copied to the upper directory (or shared with it, where the file system can)',
  );
  for (const one of mounts) {
    const labels = labelsOf(one);
    for (const [operation, count] of Object.entries(one.operations)) operations.inc({ ...labels, operation }, count);
    opens.inc({ ...labels, how: 'passthrough' }, one.opens.passthrough);
    opens.inc({ ...labels, how: 'served' }, one.opens.served);
    lookups.inc({ ...labels, result: 'hit' }, one.lookups.hits);
    lookups.inc({ ...labels, result: 'miss' }, Math.max(0, one.lookups.all - one.lookups.hits));
    nodes.inc(labels, one.nodesRead);
    directories.inc(labels, one.directoriesRead);
    files.inc(labels, one.copiedUp.files);
    bytes.inc(labels, one.copiedUp.bytes);
  }
}

type Labels = Record<string, string>;

const labelsOf = ({ id, container }: Stats['mounts'][number]): { mount: string; container: string } => ({
  mount: id.slice(0, 12),
  container: container?.slice(0, 12) ?? '',
});

function histograms({ mounts, times }: Stats): object[] {
  const byOperation = times.map(({ operation, ...rest }) => ({ labels: { operation }, ...rest }));
  const byKind = mounts.flatMap((one) => one.times.map(({ kind, ...rest }) => ({ labels: { ...labelsOf(one), kind }, ...rest })));
  return [
    histogram(
      'plyfs_operation_seconds',
      `How long engines took to answer a FUSE request, by operation, of all mounts, ${SAMPLED}`,
      byOperation,
      1,
    ),
    // Every other boundary: it is a series for each, mount by mount.
    histogram(
      'plyfs_mount_operation_seconds',
      `How long the engine took to answer a FUSE request, by kind of operation, ${SAMPLED}`,
      byKind,
      2,
    ),
  ];
}

/**
 * prom-client's own histogram takes no counts that were made elsewhere. Engines count by powers of two of microseconds; one boundary in `step` of these is
 * told.
 */
function histogram(name: string, help: string, rows: ({ labels: Labels } & Times)[], step: number): object {
  const values = rows.flatMap(({ labels, buckets, sumMs }) => {
    let count = 0;
    const found: Values = [];
    const below = (le: number | string): void => void found.push({ labels: { ...labels, le }, value: count, metricName: `${name}_bucket` });
    buckets.forEach((more, i) => {
      count += more;
      if (i === buckets.length - 1) below('+Inf');
      else if (i % step === 0) below(2 ** i / 1e6);
    });
    found.push({ labels, value: sumMs / 1000, metricName: `${name}_sum` }, { labels, value: count, metricName: `${name}_count` });
    return found;
  });
  return { name, get: () => Promise.resolve({ name, help, type: 'histogram', values, aggregator: 'sum' }) };
}
