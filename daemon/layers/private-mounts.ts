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

/**
 * The directories, O_PATH descriptors, are from now on those of a clone of their mount; the descriptors' numbers stay. `dot` is the offset of a name ".".
 * @returns whether they are; else nothing is changed
 */
function cloneTogether(fds: readonly number[], attributes: number, dot: number): boolean {
  const clone = native.cloneMount(fds[0], attributes, MountAttribute.ATIME | MountAttribute.NODIRATIME);
  if (clone < 0) return false;
  const found = [clone];
  if (fds.length > 1) {
    const inside = disk.openat(clone, dot, O.RDONLY | O_DIRECTORY, 0);
    for (let i = 1; inside >= 0 && found.length === i && i < fds.length; i++) {
      const fd = native.openOnMount(inside, fds[i]);
      if (fd >= 0) found.push(fd);
    }
    if (inside >= 0) disk.close(inside);
  }
  const whole = found.length === fds.length;
  found.forEach((fd, i) => (whole ? native.moveDescriptor(fd, fds[i]) : disk.close(fd)));
  return whole;
}

/** The directories of lowers, each where that is possible. */
export function cloneLowers(fds: readonly number[], dot: number): void {
  const mounts = new Map<number, number[]>();
  for (const fd of fds) {
    const mount = native.mountId(fd);
    if (mount < 0) continue;
    const same = mounts.get(mount);
    if (same === undefined) mounts.set(mount, [fd]);
    else same.push(fd);
  }
  for (const same of mounts.values()) {
    if (cloneTogether(same, OF_LOWERS, dot) || same.length === 1) continue;
    // no file handles: a clone for each
    for (const fd of same) if (!cloneTogether([fd], OF_LOWERS, dot)) break;
  }
}

/** Upper and work directory, both or none: between two mounts nothing can be moved. `atime`: MountAttribute bits of the overlay's own mount. */
export function cloneUpper(upper: number, work: number, atime: number, dot: number): void {
  const mount = native.mountId(upper);
  if (mount >= 0 && mount === native.mountId(work)) cloneTogether([upper, work], atime, dot);
}
