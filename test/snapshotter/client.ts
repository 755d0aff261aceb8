/** A client of plyd's snapshotter, as containerd is one. */
import { type Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import type { WireInfo } from '../../daemon/snapshotter/messages.js';
import { definition } from '../../daemon/snapshotter/service.js';
import type { SnapshotMount } from '../../daemon/snapshotter/snapshotter.js';
import { type Plyd, testWithPlyd } from '../plyd/daemon.js';
import { must } from '../support/mounts.js';

const DEADLINE_MS = 60_000;

export class Snapshots {
  private readonly client: Client;

  constructor(readonly socket: string) {
    // With connections of its own: by default all clients of a process share those of an address, and how long they wait after a failure.
    this.client = new (definition())(`unix:${socket}`, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  }

  call<T>(method: string, request: object): Promise<T> {
    type Method = (request: object, options: object, done: (error: ServiceError | null, response: T) => void) => void;
    const call = (this.client as unknown as Record<string, Method>)[method].bind(this.client);
    return new Promise((resolve, reject) =>
      call(request, { deadline: Date.now() + DEADLINE_MS }, (error, response) => (error === null ? resolve(response) : reject(error))),
    );
  }

  async prepare(key: string, parent = '', labels = {}): Promise<SnapshotMount> {
    return (await this.call<{ mounts: SnapshotMount[] }>('prepare', { key, parent, labels })).mounts[0];
  }

  async view(key: string, parent = ''): Promise<SnapshotMount> {
    return (await this.call<{ mounts: SnapshotMount[] }>('view', { key, parent })).mounts[0];
  }

  async mounts(key: string): Promise<SnapshotMount[]> {
    return (await this.call<{ mounts: SnapshotMount[] }>('mounts', { key })).mounts;
  }

  commit(name: string, key: string, labels = {}, parent = ''): Promise<object> {
    return this.call('commit', { name, key, labels, parent });
  }

  remove(key: string): Promise<object> {
    return this.call('remove', { key });
  }

  async stat(key: string): Promise<WireInfo> {
    return (await this.call<{ info: WireInfo }>('stat', { key })).info;
  }

  async update(name: string, labels: object, paths?: string[]): Promise<WireInfo> {
    const request = { info: { name, labels }, ...(paths && { updateMask: { paths } }) };
    return (await this.call<{ info: WireInfo }>('update', request)).info;
  }

  usage(key: string): Promise<{ size: number; inodes: number }> {
    return this.call('usage', { key });
  }

  list(...filters: string[]): Promise<WireInfo[]> {
    type Stream = NodeJS.EventEmitter;
    const stream = (this.client as unknown as { list: (request: object, options: object) => Stream }).list(
      { filters },
      { deadline: Date.now() + DEADLINE_MS },
    );
    const found: WireInfo[] = [];
    return new Promise((resolve, reject) => {
      stream.on('data', ({ info }: { info: WireInfo[] }) => found.push(...info));
      stream.on('end', () => resolve(found));
      stream.on('error', reject);
    });
  }

  async keys(...filters: string[]): Promise<string[]> {
    return (await this.list(...filters)).map(({ name }) => name).sort();
  }

  /** Runs a shell script in the snapshot, mounted as it says; $1 is its root. Returns what it prints. */
  async inside(key: string, script: string): Promise<string> {
    const [mount] = await this.mounts(key);
    return await inMount(mount, script);
  }

  /** Commits what a script makes of a parent. */
  async layer(name: string, parent: string, script: string, labels = {}): Promise<void> {
    await this.prepare(`${name}-active`, parent);
    await this.inside(`${name}-active`, script);
    await this.commit(name, `${name}-active`, labels);
  }

  /** All of them, children first. */
  async removeAll(): Promise<void> {
    for (let left = await this.list(); left.length > 0; left = await this.list()) {
      const parents = new Set(left.map(({ parent }) => parent));
      for (const { name } of left) {
        if (parents.has(name)) continue;
        const how = await refusal(this.remove(name));
        if (how !== 'OK' && how !== 'NOT_FOUND') throw new Error(`cannot remove ${name}: ${how}`); // containerd may have begun to
      }
    }
  }

  close(): void {
    this.client.close();
  }
}

/** In a mount namespace of its own, so that whatever becomes of it, no mount is left. */
export async function inMount({ source, options }: SnapshotMount, script: string): Promise<string> {
  const bind = `set -e; at=$(mktemp -d /tmp/plyfs-bind-XXXXXX); trap 'umount "$at"; rmdir "$at"' EXIT; mount -o "$2,bind" "$1" "$at"; [ "$3" = rw ] || mount -o remount,bind,ro "$at"; cd "$at"; sh -ec "$4" sh "$at"; cd /`;
  return await must(
    'unshare',
    ['--mount', '--propagation', 'private', 'sh', '-c', bind, 'sh', source, options.join(','), options[0], script],
    {
      timeoutMs: 60_000,
    },
  );
}

/** The status with which a call is refused. */
export async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    return status[(error as ServiceError).code];
  }
  return 'OK';
}

export const socketOf = (plyd: Plyd): string => path.join(plyd.base, 'containerd.sock');

/** A plyd that takes its mounts with it: other than where containerd runs. */
export function argumentsFor(plyd: Plyd): string[] {
  const file = path.join(plyd.base, 'plyd.toml');
  fs.writeFileSync(file, `containerd-socket = "${socketOf(plyd)}"\nkeep-mounts = false\n`);
  return ['--config', file];
}

export function testSnapshots(name: string, body: (t: Test, snapshots: Snapshots, plyd: Plyd) => Promise<void>): void {
  testWithPlyd(name, async (t, plyd) => {
    await plyd.stop();
    await plyd.start(argumentsFor(plyd));
    const snapshots = new Snapshots(socketOf(plyd));
    try {
      await body(t, snapshots, plyd);
    } finally {
      snapshots.close();
    }
  });
}
