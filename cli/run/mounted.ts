/** Is a container that is mounted to be used from here? */
import fs from 'node:fs';
import { PlyError } from '../../client/errors';

const FUSE_SUPER_MAGIC = 0x65735546;
const LIMIT_MS = 10_000;

/** Throws a PlyError that says why the container cannot be used as it is mounted. */
export async function checkMounted(name: string, root: string): Promise<void> {
  const told = (what: string, advice: string): PlyError =>
    new PlyError({ code: 'failed', message: `the container ${name} is mounted at ${root}, but ${what}: ${advice}` });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => (timer = setTimeout(resolve, LIMIT_MS, 'late')));
  try {
    const found = await Promise.race([fs.promises.statfs(root), late]);
    if (found === 'late') throw told(`its file system has not answered for ${LIMIT_MS / 1000} s`, "look at plyd's log");
    if (found.type !== FUSE_SUPER_MAGIC) throw told('not to be seen from here', 'run ply in the mount namespace of plyd');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (error instanceof PlyError) throw error;
    if (code === 'ENOTCONN')
      throw told('in a broken state: what served it has ended', `plyd mounts it again (ply stop ${name}; ply start ${name})`);
    if (code === 'EACCES') throw told('not open to you', 'use sudo, or a plyd of your own');
    if (code === 'ENOENT') throw told('not to be seen from here', 'run ply in the mount namespace of plyd');
    throw told(message, "look at plyd's log");
  } finally {
    clearTimeout(timer);
  }
}
