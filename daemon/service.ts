/**
 * What a service manager tells plyd, and is told: sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3), as systemd does it; anyone may stand in
 * for it. Everything comes in the environment, and is taken out of it here: it is none of the engines' business.
 */
import { native, SocketKind } from '../native-bindings/index';
import { ConfigError } from './config';

/** The first descriptor that is passed (SD_LISTEN_FDS_START). */
const FIRST_FD = 3;
const MOST_FDS = 1000;

/** By FileDescriptorName=, or by the unit's name where there is none. One that comes without any name, and alone, is the API's. */
export const API_SOCKET = ['api', 'ply.sock', 'plyd.socket'] as const;
export const CONTAINERD_SOCKET = ['containerd', 'containerd.sock', 'plyd-containerd.socket'] as const;

type Environment = Record<string, string | undefined>;
type Complain = (error: number, address: string) => void;

export class Service {
  private timer: NodeJS.Timeout | undefined;
  private ending = false;

  private constructor(
    /** where states go; undefined: nobody wants to know */
    private readonly address: string | undefined,
    private readonly watchdogUs: number,
    /** by name; in the order in which they came */
    private readonly sockets: { name: string; fd: number }[],
    private readonly complain: Complain,
  ) {}

  /**
   * Takes NOTIFY_SOCKET, WATCHDOG_* and LISTEN_* out of the environment. Throws ConfigError when they make no sense. `complain` (errno, address) is
   * called when the manager cannot be told.
   */
  static take(environment: Environment, complain: Complain): Service {
    const address = environment['NOTIFY_SOCKET'] ?? '';
    const watchdogUs = watchdogOf(environment);
    const sockets = passed(environment);
    delete environment['NOTIFY_SOCKET'];
    delete environment['WATCHDOG_USEC'];
    delete environment['WATCHDOG_PID'];
    delete environment['LISTEN_PID'];
    delete environment['LISTEN_FDS'];
    delete environment['LISTEN_FDNAMES'];
    if (address !== '' && !/^[/@]./.test(address))
      throw new ConfigError(
        `NOTIFY_SOCKET is "${address}": it has to be a path from /, or @ and an abstract name; unset it where there is no service manager`,
      );
    return new Service(address === '' ? undefined : address, watchdogUs, sockets, complain);
  }

  /**
   * The listening socket of one of these names that was passed, -1: none was. Throws ConfigError when it is no listening Unix stream socket.
   */
  socket(names: readonly string[]): number {
    const { sockets } = this;
    const at = sockets.findIndex(({ name }) => names.includes(name));
    if (at < 0) return -1;
    const [{ fd, name }] = sockets.splice(at, 1);
    const kind = native.socketKind(fd);
    if (kind !== (SocketKind.UNIX | SocketKind.STREAM | SocketKind.LISTENING)) {
      throw new ConfigError(
        `descriptor ${fd} ("${name}") was passed as a socket (LISTEN_FDS) and is ${describe(kind)}: it has to be a Unix stream socket that listens (ListenStream=/run/ply/ply.sock, Accept=no)`,
      );
    }
    return fd;
  }

  /** Closes the passed sockets that nobody has asked for, and returns their names. */
  closeOthers(): string[] {
    return this.sockets.splice(0).map(({ fd, name }) => {
      native.close(fd);
      return name;
    });
  }

  /** Does anybody want to know how plyd is? */
  get isTold(): boolean {
    return this.address !== undefined;
  }

  /** One line for `systemctl status`. */
  status(text: string): void {
    this.send(`STATUS=${text}`);
  }

  /** The watchdog is fed from here on, by the event loop: as long as that turns. */
  ready(status: string): void {
    if (this.ending) return;
    this.send(`READY=1\nMAINPID=${process.pid}\nSTATUS=${status}`);
    if (this.address === undefined || this.watchdogUs === 0) return;
    this.send('WATCHDOG=1');
    this.timer = setInterval(() => this.send('WATCHDOG=1'), Math.max(1, Math.floor(this.watchdogUs / 2000)));
    this.timer.unref();
  }

  /** The watchdog is fed until the process is gone: unmounting may take as long as TimeoutStopSec= allows. */
  stopping(status: string): void {
    this.ending = true;
    this.send(`STOPPING=1\nSTATUS=${status}`);
  }

  private send(state: string): void {
    if (this.address === undefined) return;
    const sent = native.sendDatagram(Buffer.from(this.address), Buffer.from(state));
    if (sent < 0) this.complain(-sent, this.address);
  }
}

/** Microseconds; 0: no watchdog, or not for this process. */
function watchdogOf({ WATCHDOG_USEC: text = '', WATCHDOG_PID: pid = '' }: Environment): number {
  if (text === '' || (pid !== '' && pid !== String(process.pid))) return 0;
  const us = Number(text);
  if (!Number.isInteger(us) || us <= 0) throw new ConfigError(`WATCHDOG_USEC is "${text}": it has to be a number of microseconds`);
  return us;
}

function passed({ LISTEN_PID: pid = '', LISTEN_FDS: count = '', LISTEN_FDNAMES: names }: Environment): { name: string; fd: number }[] {
  if (pid !== String(process.pid) || count === '') return []; // they were for another process
  const number = Number(count);
  if (!Number.isInteger(number) || number < 0 || number > MOST_FDS)
    throw new ConfigError(`LISTEN_FDS is "${count}": it has to be the number of descriptors that are passed, from ${FIRST_FD} on`);
  const given = names === undefined ? [] : names.split(':');
  return Array.from({ length: number }, (_, i) => {
    const fd = FIRST_FD + i;
    const set = native.closeOnExec(fd, 1);
    if (set < 0) throw new ConfigError(`LISTEN_FDS is ${count}, and descriptor ${fd} is not open (errno ${-set})`);
    const name = given[i] === undefined || given[i] === 'unknown' ? '' : given[i];
    return { fd, name: name === '' && number === 1 ? API_SOCKET[0] : name };
  });
}

/** For a program that this process becomes: what Node closes on exec(2) stays open. */
export function passOn(environment: Environment): void {
  const count = environment['LISTEN_PID'] === String(process.pid) ? Number(environment['LISTEN_FDS'] ?? 0) : 0;
  for (let i = 0; i < count && i < MOST_FDS; i++) native.closeOnExec(FIRST_FD + i, 0);
}

function describe(kind: number): string {
  if (kind < 0) return 'no socket';
  if ((kind & SocketKind.UNIX) === 0) return 'no Unix socket';
  if ((kind & SocketKind.STREAM) === 0) return 'no stream socket';
  return 'not listening';
}
