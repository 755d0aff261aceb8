/** The context of an image of more than six layers that has all that images have; and of a second one on the same base. */
import fs from 'node:fs';
import path from 'node:path';
import { must } from '../support/mounts.js';

/** busybox has neither setcap nor setfattr. */
const SETXATTR = `
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
int main(int argc, char **argv) { /* FILE NAME HEX */
  unsigned char value[256];
  size_t length = argc == 4 ? strlen(argv[3]) / 2 : 0;
  for (size_t i = 0; i < length; i++) {
    char digits[3] = {argv[3][2 * i], argv[3][2 * i + 1], 0};
    value[i] = (unsigned char)strtoul(digits, NULL, 16);
  }
  return setxattr(argv[1], argv[2], value, length, 0) < 0;
}
`;

/** VFS_CAP_REVISION_2, effective, CAP_NET_RAW permitted. */
const CAPABILITIES = '0100000200200000000000000000000000000000';

const BASE = `FROM scratch
COPY base/ /
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /opt/old /usr/lib /var/lib/d/e && for i in 1 2 3; do echo $i > /opt/old/$i; done && echo lib > /usr/lib/libc.so && ln /usr/lib/libc.so /usr/lib/libc.so.6 && echo x > /var/lib/d/e/f
`;

const STEPS = `RUN rm /opt/old/2 && ln /usr/lib/libc.so /usr/lib/third && chmod 4755 /bin/busybox && chmod 1777 /tmp
RUN rm -rf /var/lib/d && mkdir /var/lib/d && chmod 2750 /var/lib/d && echo new > /var/lib/d/new
RUN echo more >> /usr/lib/libc.so && mkfifo /opt/pipe && ln -s ../nowhere /opt/dangling && chown -h 33:44 /opt/old/1 /opt/dangling
RUN touch -d '2001-02-03 04:05:06' /opt/old/3 && echo text > '/opt/naïve name' && : > /opt/empty && dd if=/dev/zero of=/opt/zeros bs=1M count=3 2>/dev/null
RUN cp /bin/setxattr /opt/raw && /bin/setxattr /opt/raw security.capability ${CAPABILITIES} && /bin/setxattr /opt/empty user.note 6e6f7465
RUN rm /usr/lib/third && rm -rf /opt/old && mkdir /opt/old && echo again > /opt/old/2 && cp /bin/busybox /opt/copy
ENV GREETING=hello
WORKDIR /opt
USER 33:44
ENTRYPOINT ["sh", "-c"]
CMD ["echo $GREETING; id -u; pwd"]
`;

const OTHER = `RUN echo other > /opt/other && rm /usr/lib/libc.so.6
CMD ["cat", "/opt/other"]
`;

/** Makes the contexts "six" and "other" in the directory. */
export async function writeContexts(directory: string): Promise<{ six: string; other: string }> {
  const base = path.join(directory, 'base');
  for (const name of ['bin', 'tmp', 'proc', 'dev', 'sys', 'etc']) fs.mkdirSync(path.join(base, name), { recursive: true });
  fs.copyFileSync('/bin/busybox', path.join(base, 'bin/busybox'));
  fs.chmodSync(path.join(base, 'bin/busybox'), 0o755);
  fs.writeFileSync(path.join(base, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nwww:x:33:33::/srv:/bin/sh\n');
  fs.writeFileSync(path.join(directory, 'setxattr.c'), SETXATTR);
  await must('gcc', ['-O1', '-static', '-o', path.join(base, 'bin/setxattr'), path.join(directory, 'setxattr.c')]);
  const context = (name: string, steps: string): string => {
    const made = path.join(directory, name);
    fs.mkdirSync(made);
    fs.renameSync(base, path.join(made, 'base'));
    fs.cpSync(path.join(made, 'base'), base, { recursive: true, preserveTimestamps: true });
    fs.writeFileSync(path.join(made, 'Containerfile'), BASE + steps);
    return made;
  };
  return { six: context('six', STEPS), other: context('other', OTHER) };
}
