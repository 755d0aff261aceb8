/** The context of a small image on busybox, whose steps do what steps do to lower layers: delete, replace, link, rename, change modes and owners. */
import fs from 'node:fs';
import path from 'node:path';
import type { Place } from './place.js';

const STEPS = `FROM scratch
COPY base/ /
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /opt/old /usr/lib /var/lib/d/e && for i in 1 2 3; do echo $i >/opt/old/$i; done && echo lib >/usr/lib/libc && ln /usr/lib/libc /usr/lib/libc.6 && echo x >/var/lib/d/e/f
RUN rm /opt/old/2 && chmod 4755 /bin/busybox && chmod 1777 /tmp && mv /var/lib/d/e /var/lib/renamed
RUN rm -rf /var/lib/d && mkdir /var/lib/d && chmod 2750 /var/lib/d && echo new >/var/lib/d/new
RUN echo more >>/usr/lib/libc && mkfifo /opt/pipe && ln -s ../nowhere /opt/dangling && chown -h 33:44 /opt/old/1 /opt/dangling
RUN rm -rf /opt/old && mkdir /opt/old && echo again >/opt/old/2 && echo one >/opt/one && ln /opt/one /opt/two && cp /bin/busybox /opt/copy
CMD ["cat", "/opt/one"]
`;

/** Nothing in the contents of the context depends on when it is made. */
const LONG_AGO = new Date('2020-01-02T03:04:05Z');

/** Makes it for the user of the place, and says where. */
export function smallContext(place: Place, steps = STEPS): string {
  fs.rmSync(place.at('home/context'), { recursive: true, force: true });
  const context = place.own('context');
  for (const name of ['bin', 'tmp', 'proc', 'dev', 'sys', 'etc', 'run'])
    fs.mkdirSync(path.join(context, 'base', name), { recursive: true });
  fs.copyFileSync('/bin/busybox', path.join(context, 'base/bin/busybox'));
  fs.chmodSync(path.join(context, 'base/bin/busybox'), 0o755);
  fs.symlinkSync('busybox', path.join(context, 'base/bin/sh'));
  fs.writeFileSync(path.join(context, 'base/etc/passwd'), 'root:x:0:0::/root:/bin/sh\nwww:x:33:33::/srv:/bin/sh\n');
  for (const name of ['bin/busybox', 'etc/passwd']) fs.utimesSync(path.join(context, 'base', name), LONG_AGO, LONG_AGO);
  fs.writeFileSync(path.join(context, 'Containerfile'), steps);
  return context;
}
