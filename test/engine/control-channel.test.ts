/** The engine's end of the control channel, without an engine. */
import t, { type Test } from 'tap';
import { ControlChannel } from '../../daemon/engine/control-channel.js';
import type { Log } from '../../daemon/log.js';
import { native } from '../../native-bindings/index.js';

/** Ends the other end, and returns what has been logged as an error until the channel says that it has ended. */
async function ended(t: Test, beforehand: (channel: ControlChannel, other: number) => void): Promise<unknown[]> {
  const ends = new Int32Array(2);
  t.equal(native.socketpair(ends), 0);
  const [own, other] = ends;
  const errors: unknown[] = [];
  const log = { error: (fields: unknown) => errors.push(fields) } as unknown as Log;
  let channel: ControlChannel | undefined;
  await new Promise<void>((resolve) => {
    channel = new ControlChannel(own, () => ({ ok: true }), resolve, log);
    beforehand(channel, other);
    native.close(other);
  });
  t.notOk(channel?.isOpen);
  return errors;
}

void t.test('its end is the same whether or not the other side had read all', async (t) => {
  t.same(await ended(t, () => undefined), []);
  t.same(await ended(t, (channel) => channel.tell({ ok: true, ended: 1 })), [], 'ECONNRESET');
});
