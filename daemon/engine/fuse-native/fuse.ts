/** A mount made by fuse-native, and its operations answered from a view. */
import type { Fuse, FuseClass, FuseOperations, Signal } from './module';
import type { View } from './view';

/** Errors are numbers, and what is not is what was asked for. */
function give<T>(value: T | number, done: (result: number, value?: T) => void): void {
  if (typeof value === 'number') done(value);
  else done(0, value);
}

function operationsOf(view: View): FuseOperations {
  return {
    getattr: (path, done) => give(view.getattr(path), done),
    readlink: (path, done) => give(view.readlink(path), done),
    readdir: (path, done) => {
      const listed = view.readdir(path);
      if (typeof listed === 'number') done(listed);
      else done(0, listed.names, listed.stats);
    },
    open: (path, flags, done) => {
      const handle = view.open(path, flags);
      if (handle < 0) done(handle);
      else done(0, handle);
    },
    read: (_path, handle, buffer, length, position, done) => done(view.read(handle, buffer.subarray(0, length), position)),
    release: (_path, handle, done) => done(view.release(handle)),
    statfs: (_path, done) => give(view.statfs(), done),
    getxattr: () => undefined, // see below
    listxattr: () => undefined,
  };
}

/** Resolves when it is mounted and answers. */
export async function mountFuse(base: FuseClass, view: View, point: string, options: string): Promise<void> {
  class Mounted extends base {
    override _fuseOptions(): string {
      return options;
    }

    override _op_getxattr(signal: Signal, path: string, name: string, value: Buffer): void {
      signal(view.getxattr(path, name, value), value.buffer);
    }

    override _op_listxattr(signal: Signal, path: string, list: Buffer): void {
      signal(view.listxattr(path, list), list.buffer);
    }
  }
  // Requests never wait for each other here: a limit of time could only make errors of slow disks.
  const fuse: Fuse = new Mounted(point, operationsOf(view), { timeout: false });
  await new Promise<void>((resolve, reject) => fuse.mount((error) => (error === null ? resolve() : reject(error))));
}
