/**
 * plyd of an ordinary user: mounting takes a user and a mount namespace of its own, in which that user is root. There are no other users in there (that would
 * take subuids), so files of others show as nobody's; the layers' indexes know better. Its mounts are to be seen in there: `ply run` and `ply unshare` go in.
 */
import { spawnSync } from 'node:child_process';
import { native } from '../../native-bindings/index';

const UNSHARE = ['unshare', '--user', '--map-root-user', '--mount', '--propagation', 'slave', '--'];

/** Returns where plyd is root, of the machine or of a namespace; else plyd starts once more, in namespaces of its own, if this machine allows it: after
 * `before`. */
export function enterOwnNamespaces(before: () => void = () => undefined): void {
  if (process.geteuid!() === 0) return;
  const [name, ...args] = [...UNSHARE, 'true'];
  const { status } = spawnSync(name, args, { stdio: 'ignore' });
  if (status !== 0) return; // without them all but mounting works, and that says what it takes
  before();
  native.exec([...UNSHARE, process.execPath, ...process.execArgv, ...process.argv.slice(1)]);
}
