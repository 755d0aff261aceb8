/** make install, make uninstall, make deb: node dist/scripts/install/main.js install|uninstall|deb, with make's variables in the environment. */
import path from 'node:path';
import { makePackage } from './deb.js';
import { install, type Places, uninstall } from './install.js';

function places(): Places {
  const { env } = process;
  const prefix = env['PREFIX'] || '/usr/local';
  if (!path.isAbsolute(prefix)) throw new Error(`PREFIX has to be a whole path, from /: not ${prefix}`);
  return {
    destdir: env['DESTDIR'] ? path.resolve(env['DESTDIR']) : '',
    prefix,
    sysconfdir: env['SYSCONFDIR'] || '/etc',
    mountdir: env['MOUNTDIR'] || path.join(prefix, 'sbin'),
    unitdir: env['UNITDIR'] || path.join(prefix, 'lib/systemd/system'),
    zshdir: env['ZSHDIR'] || path.join(prefix, 'share/zsh/site-functions'),
  };
}

const ACTIONS: Readonly<Record<string, () => void>> = {
  install: () => install(places()),
  uninstall: () => uninstall(places()),
  deb: () => console.log(makePackage(process.env['OUT'] || 'dist/deb')),
};

try {
  ACTIONS[process.argv[2]]();
} catch (error) {
  console.error(`make ${process.argv[2]}: ${(error as Error).message}`);
  process.exitCode = 1;
}
