/** A Debian root of this machine's release (scripts/make-debian-root), and what a test lays over it. */
import path from 'node:path';
import { must } from '../support/mounts.js';

const REPOSITORY = path.resolve(__dirname, '../../..');

/** The root, which nobody may change, and a directory with the .deb files of these packages. */
export async function debianRoot(packages: readonly string[]): Promise<{ root: string; debs: string }> {
  const root = (await must(path.join(REPOSITORY, 'scripts/make-debian-root'), packages, { timeoutMs: 600_000 })).trim();
  return { root, debs: path.join(path.dirname(root), 'debs') };
}

/** For bash: `give_node ROOT` puts this machine's node there, and the libraries that it is linked with and a minimal Debian has not. */
export const GIVE_NODE = String.raw`
give_node() {
  local library
  cp "$(readlink -f "$(command -v node)")" "$1/usr/local/bin/node"
  for library in $(ldd "$1/usr/local/bin/node" | awk '$3 ~ "^/" { print $3 }'); do
    [ -e "$1$library" ] || cp "$library" "$1/usr/local/lib/"
  done
}
`;
