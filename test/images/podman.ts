/** Images that podman builds: with a storage of its own below a directory, and settings with which it runs in a container and on old cgroups too. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { must, mounts, run } from '../support/mounts.js';

const LIMIT_MS = 120_000;

const CONTAINERS_CONF = `
[containers]
netns = "host"
default_sysctls = []
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
`;

export const TOOLS = ['podman', 'skopeo', 'umoci'];

/** Why images cannot be built here; undefined: they can. */
export function whyNoImages(): string | undefined {
  const missing = [...TOOLS, 'gcc'].find((name) => spawnSync('sh', ['-c', 'command -v "$0"', name]).status !== 0);
  return missing === undefined ? undefined : `needs ${missing}: scripts/setup installs it`;
}

export type Form = 'docker-archive' | 'oci-archive' | 'oci-dir';

export class Podman {
  private readonly env: NodeJS.ProcessEnv;
  private readonly policy: string;

  constructor(readonly directory: string) {
    fs.mkdirSync(directory, { recursive: true });
    const write = (name: string, text: string): string => {
      fs.writeFileSync(path.join(directory, name), text);
      return path.join(directory, name);
    };
    const storage = `[storage]\ndriver = "overlay"\ngraphroot = "${directory}/graph"\nrunroot = "${directory}/run"\n`;
    this.policy = write('policy.json', '{"default":[{"type":"insecureAcceptAnything"}]}');
    const settings = {
      CONTAINERS_CONF: write('containers.conf', CONTAINERS_CONF),
      CONTAINERS_STORAGE_CONF: write('storage.conf', storage),
    };
    this.env = { ...process.env, ...settings, TMPDIR: directory };
  }

  run(...args: string[]): Promise<string> {
    return must('podman', args, { env: this.env, timeoutMs: LIMIT_MS });
  }

  /** Of a directory with a Containerfile: a layer for each of its steps. */
  async build(context: string, tag: string): Promise<void> {
    await this.run('build', '-q', '--isolation=chroot', '--layers', '--signature-policy', this.policy, '-t', tag, context);
  }

  async save(tag: string, form: Form, to: string): Promise<string> {
    await this.run('save', '-q', '--format', form, '-o', to, tag);
    return to;
  }

  /** An OCI layout in a directory, of an oci-archive, its layers compressed anew. */
  async convert(from: string, to: string, compression: 'gzip' | 'zstd'): Promise<string> {
    const compress = ['--dest-compress', '--dest-compress-format', compression];
    await must('skopeo', ['--policy', this.policy, 'copy', '-q', ...compress, `oci-archive:${from}`, `oci:${to}:image`], {
      env: this.env,
      timeoutMs: LIMIT_MS,
    });
    return to;
  }

  /** What the kernel's overlay shows of it, as podman mounts it. */
  async mounted<T>(tag: string, look: (point: string) => Promise<T>): Promise<T> {
    const point = (await this.run('image', 'mount', tag)).trim();
    try {
      return await look(point);
    } finally {
      await this.run('image', 'unmount', tag);
    }
  }

  /** What docker and the tools for images take it for. */
  skopeo(...args: string[]): Promise<string> {
    return must('skopeo', ['--policy', this.policy, ...args], { env: this.env, timeoutMs: LIMIT_MS });
  }

  /** Its own mount of the graph goes too. */
  async end(): Promise<void> {
    await run('podman', ['rm', '-af'], { env: this.env, timeoutMs: LIMIT_MS });
    for (const { point } of mounts().reverse()) {
      if (point.startsWith(`${this.directory}/`)) await run('umount', ['--lazy', point]);
    }
  }
}

/** The tree that umoci makes of an OCI layout. */
export async function unpacked(layout: string, tag: string, to: string): Promise<string> {
  await must('umoci', ['unpack', '--image', `${layout}:${tag}`, to], { timeoutMs: LIMIT_MS });
  return path.join(to, 'rootfs');
}

/** One line for each entry, with all its attributes. */
export function manifest(tree: string): Promise<string> {
  return must(path.resolve(__dirname, '../../../scripts/tree-manifest.py'), ['--nlink', tree], { timeoutMs: LIMIT_MS });
}
