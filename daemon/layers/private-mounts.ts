/**
 * Layers are reached by private clones of the mounts that they lie on, as the kernel's overlayfs does (clone_private_mount() in fs/namespace.c): what is read
 * in a lower does not move its atime, by passthrough neither, nothing can be written there, and in the upper atime moves as the mount of the overlay says,
 * whatever the options of the mount that the upper lies on. The host may unmount that one meanwhile.
 *
 * One clone serves all directories of one mount: a clone costs some microseconds, but its end, in which the kernel waits for all CPUs, some fifty. Where there
 * can be none (Linux before 5.12, a mount that came into a user namespace with its options locked, one of another mount namespace) the directory stays as it
 * was opened: lowers are then opened with O_NOATIME where that is allowed, which is not what the kernel does when files are passed through.
 */
import { native } from '../../native-bindings/index';
import { disk, O, O_DIRECTORY } from './disk';

/** MOUNT_ATTR_* of <linux/mount.h>. RELATIME is none of the others. */
export const enum MountAttribute {
  RDONLY = 0x01,
  NOATIME = 0x10,
  STRICTATIME = 0x20,
  /** all bits of the choice between relatime, noatime and strictatime */
  ATIME = 0x70,
  NODIRATIME = 0x80,
}

const OF_LOWERS = MountAttribute.RDONLY | MountAttribute.NOATIME;

const CLEARED = MountAttribute.ATIME | MountAttribute.NODIRATIME;

/**
 * The directories of lowers, O_PATH descriptors, are from now on those of clones, where that is possible; the descriptors' numbers stay. `dot` is the offset of
 * a name ".". One after the other: room for twice as many descriptors would cost the process milliseconds.
 */
export function cloneLowers(fds: readonly number[], dot: number): void {
  /** of each mount: what opens others on its clone; -1: it cannot be cloned */
  const clones = new Map<number, number>();
  for (const fd of fds) {
    const mount = native.mountId(fd);
    if (mount < 0) return;
    const inside = clones.get(mount);
    if (inside === -1) continue;
    let own = inside === undefined ? -1 : native.openOnMount(inside, fd);
    if (own < 0) own = native.cloneMount(fd, OF_LOWERS, CLEARED); // the first of its mount, or a file system without handles
    if (own >= 0) native.moveDescriptor(own, fd);
    if (inside === undefined) clones.set(mount, own < 0 ? -1 : disk.openat(fd, dot, O.RDONLY | O_DIRECTORY, 0));
  }
  for (const inside of clones.values()) if (inside >= 0) disk.close(inside);
}

/** Upper and work directory, both or none: between two mounts nothing can be moved. `atime`: MountAttribute bits of the overlay's own mount. */
export function cloneUpper(upper: number, work: number, atime: number, dot: number): void {
  const mount = native.mountId(upper);
  if (mount < 0 || mount !== native.mountId(work)) return;
  const ownUpper = native.cloneMount(upper, atime, CLEARED);
  if (ownUpper < 0) return;
  const inside = disk.openat(ownUpper, dot, O.RDONLY | O_DIRECTORY, 0);
  const ownWork = inside < 0 ? inside : native.openOnMount(inside, work);
  if (inside >= 0) disk.close(inside);
  if (ownWork < 0) {
    disk.close(ownUpper);
    return;
  }
  native.moveDescriptor(ownUpper, upper);
  native.moveDescriptor(ownWork, work);
}
