/** plyd.yaml is what Kubernetes takes: kubectl decodes each field of it, and it says what the image has. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { parse } from 'yaml';

const KUBERNETES = path.resolve(__dirname, '../../../scripts/kubernetes');
const TEXT = fs.readFileSync(path.join(KUBERNETES, 'plyd.yaml'), 'utf8');
const skip = spawnSync('kubectl', ['version', '--client']).status === 0 ? false : 'needs kubectl (scripts/setup)';

/** What kubectl makes of a manifest: decoded as its type, by which fields that there are not get lost. No cluster is asked. */
function decoded(text: string): { object: unknown; error: string } {
  const { status, stdout, stderr } = spawnSync('kubectl', ['set', 'env', '--local', '--filename', '-', '--output', 'json', 'TRIED=yes'], {
    input: text,
    encoding: 'utf8',
    timeout: 60_000,
    env: { ...process.env, KUBECONFIG: '/dev/null' },
  });
  return status === 0 ? { object: JSON.parse(stdout), error: '' } : { object: undefined, error: stderr };
}

/** Paths of what `wanted` has and `found` has not, or otherwise. */
function lost(wanted: unknown, found: unknown, at = ''): string[] {
  if (typeof wanted !== 'object' || wanted === null) return wanted === found ? [] : [at];
  const there = (typeof found === 'object' && found !== null ? found : {}) as Record<string, unknown>;
  return Object.entries(wanted).flatMap(([key, value]) => lost(value, there[key], `${at}/${key}`));
}

void t.test('kubectl decodes the DaemonSet, and no field of it gets lost', { skip }, (t) => {
  const { object, error } = decoded(TEXT);
  t.equal(error, '');
  t.same(lost(parse(TEXT), object), []);
  t.match(JSON.stringify(object), /"name":"TRIED","value":"yes"/, 'it was decoded as what has containers');
  t.end();
});

void t.test('it would tell of a field that there is not, and of a value of the wrong type', { skip }, (t) => {
  const misspelt = TEXT.replace('priorityClassName', 'priorityClass').replace('mountPropagation', 'propagation');
  t.same(lost(parse(misspelt), decoded(misspelt).object), [
    '/spec/template/spec/priorityClass',
    '/spec/template/spec/initContainers/0/volumeMounts/0/propagation',
  ]);
  t.match(decoded(TEXT.replace('hostPID: true', 'hostPID: 7')).error, /unable to decode/);
  t.end();
});

interface Container {
  image: string;
  command: string[];
  readinessProbe?: { exec: { command: string[] } };
  volumeMounts: { name: string; mountPath: string }[];
}

void t.test('it goes with the image and the installer', (t) => {
  const { spec } = parse(TEXT) as {
    spec: { selector: { matchLabels: object }; template: { metadata: { labels: object }; spec: unknown } };
  };
  t.same(spec.selector.matchLabels, spec.template.metadata.labels);
  const pod = spec.template.spec as {
    initContainers: Container[];
    containers: Container[];
    volumes: { name: string; hostPath: { path: string } }[];
  };
  const paths = new Map(pod.volumes.map(({ name, hostPath }) => [name, hostPath.path]));
  const [[install], [ready]] = [pod.initContainers, pod.containers];
  t.equal(install.image, ready.image);
  const dockerfile = fs.readFileSync(path.join(KUBERNETES, 'Dockerfile'), 'utf8');
  t.same(install.command, ['install-on-node']);
  t.match(dockerfile, /mv install-on-node \/usr\/local\/bin\//);
  t.same(
    install.volumeMounts.map(({ name, mountPath }) => [paths.get(name), mountPath]),
    [['/', '/host']],
  );
  t.same(ready.readinessProbe?.exec.command, ['/plyfs/tree/bin/ready']);
  t.match(dockerfile, /for name in ply plyd ready; do install -D with-node tree\/bin\/\$name/);
  t.same(
    ready.volumeMounts.map(({ name, mountPath }) => [paths.get(name), mountPath]),
    [['/run/ply', '/run/ply']],
  );
  t.end();
});
