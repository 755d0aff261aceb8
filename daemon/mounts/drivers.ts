/** What stands between the kernel and the overlay: plyfs's own transports, or, for read-only mounts, the npm package fuse-native (engine/fuse-native). */
import { type Driver, MountFlag, type MountOptions, OptionError } from './options';

/** Of the engines' processes that are not plyfs's own: one for each mount, which the driver mounts by itself. */
export type OtherDriver = Exclude<Driver, 'plyfs'>;

/** Options by their flags that libfuse 2 does not know. */
const UNKNOWN: readonly [flag: MountFlag, name: string][] = [
  [MountFlag.NOSYMFOLLOW, 'nosymfollow'],
  [MountFlag.NODIRATIME, 'nodiratime'],
  [MountFlag.RELATIME, 'relatime'],
  [MountFlag.STRICTATIME, 'strictatime'],
  [MountFlag.LAZYTIME, 'lazytime'],
];

/** The driver, if it is not plyfs's own. Throws OptionError for what it cannot do. */
export function otherDriver(options: MountOptions): OtherDriver | undefined {
  const { driver } = options;
  if (driver === undefined || driver === 'plyfs') return undefined;
  if (options.upper !== undefined) {
    throw new OptionError('the driver fuse-native is for read-only mounts: leave out upperdir and workdir, or the driver');
  }
  const asked: readonly (string | false)[] = [
    options.transport !== undefined && options.transport !== 'auto' && `transport=${options.transport}`,
    options.passthrough === 'always' && 'passthrough=always',
    options.workers !== undefined && 'workers',
    options.logLevel !== undefined && 'log_level',
    ...UNKNOWN.map(([flag, name]) => (options.flags & flag) !== 0 && name),
  ];
  const refused = asked.filter((one) => one !== false);
  if (refused.length > 0) {
    throw new OptionError(
      `the driver fuse-native cannot have ${refused.join(', ')}: leave ${refused.length > 1 ? 'these options' : 'it'} out, or the driver`,
    );
  }
  return driver;
}

/** For plyfs, which hands over what it has mounted itself. Throws OptionError. */
export function refuseOtherDriver({ driver = 'plyfs' }: MountOptions): void {
  if (driver === 'plyfs') return;
  throw new OptionError(`the driver ${driver} mounts by itself, which plyfs does already: use ply mount --driver ${driver}`);
}
