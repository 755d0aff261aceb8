/** The overlay as the engine sees it: a worker's view of a mount that serves operations. One method per operation; what it means is in the file of its verb. */
import { Errno } from '../errno';
import type * as Op from '../protocol/operations';
import type { Operations, Reply } from '../protocol/operations';
import { readAhead } from './ahead';
import { getattr, setattr, statx } from './attr';
import { LayerError } from './failure';
import { copyFileRange, dropOpen, fallocate, fsync, lseek, open, read, release, write } from './file';
import { lookup, readlink, statfs } from './lookup';
import { create, link, mkdir, mknod, symlink, tmpfile } from './make';
import { Mount } from './mount';
import { forgetNodeid } from './image';
import { opendir, readdir } from './readdir';
import { rmdir, unlink } from './remove';
import { rename } from './rename';
import { MountWord } from './table/layout';
import type { WorkerContext } from './worker';
import { getxattr, listxattr, removexattr, setxattr } from './xattr';

export { MountError, setUpMount, tearDownMount, type MountSpec } from './setup';

/** The errno of a layer that did not answer; everything else goes on. */
function failed(error: unknown): number {
  if (error instanceof LayerError) return -error.errno;
  throw error;
}

export class OverlayMount implements Operations {
  private readonly mount: Mount;
  private readonly renameLock: number;

  constructor(
    private readonly context: WorkerContext,
    index: number,
  ) {
    this.mount = new Mount(context, index);
    this.renameLock = this.mount.record + MountWord.RENAME_LOCK;
  }

  detach(): void {
    this.mount.detach();
  }

  /** By a worker that has nothing else to do: loads some of what will be asked for. False: there is nothing more. */
  readAhead(): boolean {
    const { image } = this.mount;
    return image?.readsAhead === true && readAhead(image);
  }

  /** While `serve` runs no directory is renamed: what it derives from names stays true. */
  private steady<T extends Op.Caller>(serve: (m: Mount, op: T, reply: Reply) => number, op: T, reply: Reply): number {
    const { memory } = this.mount.table;
    this.begin();
    memory.lockShared(this.renameLock);
    try {
      return serve(this.mount, op, reply);
    } catch (error) {
      return failed(error);
    } finally {
      memory.unlockShared(this.renameLock);
    }
  }

  private steadily<T extends Op.Caller>(serve: (m: Mount, op: T) => number, op: T): number {
    const { memory } = this.mount.table;
    this.begin();
    memory.lockShared(this.renameLock);
    try {
      return serve(this.mount, op);
    } catch (error) {
      return failed(error);
    } finally {
      memory.unlockShared(this.renameLock);
    }
  }

  /** No open has been counted for the answer to come. */
  private begin(): void {
    this.context.opened = 0;
  }

  lookup(op: Op.Lookup, reply: Reply): number {
    return this.steady(lookup, op, reply);
  }

  forget(op: Op.Forget): void {
    forgetNodeid(this.mount, op.node, op.count);
  }

  getattr(op: Op.Getattr, reply: Reply): number {
    return this.steady(getattr, op, reply);
  }

  statx(op: Op.Statx, reply: Reply): number {
    return this.steady(statx, op, reply);
  }

  setattr(op: Op.Setattr, reply: Reply): number {
    return this.steady(setattr, op, reply);
  }

  readlink(op: Op.Readlink, reply: Reply): number {
    return this.steady(readlink, op, reply);
  }

  symlink(op: Op.Symlink, reply: Reply): number {
    return this.steady(symlink, op, reply);
  }

  mknod(op: Op.Mknod, reply: Reply): number {
    return this.steady(mknod, op, reply);
  }

  mkdir(op: Op.Mkdir, reply: Reply): number {
    return this.steady(mkdir, op, reply);
  }

  create(op: Op.Create, reply: Reply): number {
    return this.steady(create, op, reply);
  }

  tmpfile(op: Op.Create, reply: Reply): number {
    return this.steady(tmpfile, op, reply);
  }

  unlink(op: Op.Unlink): number {
    return this.steadily(unlink, op);
  }

  rmdir(op: Op.Rmdir): number {
    return this.steadily(rmdir, op);
  }

  rename(op: Op.Rename): number {
    this.begin();
    try {
      return rename(this.mount, op);
    } catch (error) {
      return failed(error);
    }
  }

  link(op: Op.Link, reply: Reply): number {
    return this.steady(link, op, reply);
  }

  open(op: Op.Open, reply: Reply): number {
    return this.steady(open, op, reply);
  }

  read(op: Op.Read, reply: Reply): number {
    return this.steady(read, op, reply);
  }

  write(op: Op.Write, reply: Reply): number {
    return this.steady(write, op, reply);
  }

  flush(): number {
    return 0;
  }

  release(op: Op.Release): number {
    return release(this.mount, op);
  }

  fsync(op: Op.Fsync): number {
    return this.steadily(fsync, op);
  }

  fallocate(op: Op.Fallocate): number {
    return this.steadily(fallocate, op);
  }

  lseek(op: Op.Lseek, reply: Reply): number {
    return this.steady(lseek, op, reply);
  }

  copyFileRange(op: Op.CopyFileRange, reply: Reply): number {
    return this.steady(copyFileRange, op, reply);
  }

  setxattr(op: Op.Setxattr): number {
    return this.steadily(setxattr, op);
  }

  getxattr(op: Op.Getxattr, reply: Reply): number {
    return this.steady(getxattr, op, reply);
  }

  listxattr(op: Op.Listxattr, reply: Reply): number {
    return this.steady(listxattr, op, reply);
  }

  removexattr(op: Op.Removexattr): number {
    return this.steadily(removexattr, op);
  }

  opendir(op: Op.Opendir, reply: Reply): number {
    return opendir(this.mount, this.mount.nodeToLookAt(op.node), reply);
  }

  readdir(op: Op.Readdir, reply: Reply): number {
    return this.steady(readdir, op, reply);
  }

  releasedir(): number {
    return 0;
  }

  fsyncdir(op: Op.Fsync): number {
    return this.steadily(fsync, op);
  }

  statfs(_op: Op.Statfs, reply: Reply): number {
    return statfs(this.mount, reply);
  }

  /** default_permissions: the kernel has checked. */
  access(): number {
    return 0;
  }

  ioctl(): number {
    return -Errno.ENOTTY;
  }

  undelivered(node: number): void {
    const { opened, openedHandle } = this.context;
    this.begin();
    const open = opened === 0 ? 0 : this.mount.node(opened);
    if (open !== 0) dropOpen(this.mount, open, openedHandle);
    forgetNodeid(this.mount, node, 1);
  }
}
