/** The thread that reads layers, one after the other. Its other end is layer-threads.ts. */
import { parentPort } from 'node:worker_threads';
import { StoreError } from '../store/errors';
import type { IndexFacts } from '../store/index-rows';
import { LayerReader, type LayerTask, type ReadLayer } from './layer-reader';
import { TarError } from './tar-header';

/** For one layer in this order; contents as often as is needed. */
export interface LayerCalls {
  read(task: LayerTask): Promise<ReadLayer>;
  finish(lowers: readonly string[]): IndexFacts;
  contents(request: { after: Uint8Array; most: number }): { digest: Uint8Array; size: number }[];
  sync(): void;
  place(): number;
  close(): void;
}

export type Reply =
  { ok: true; result: unknown } | { ok: false; kind: 'tar' | 'store' | 'other'; message: string; code: string | undefined };

let reader: LayerReader | undefined;

const CALLS: LayerCalls = {
  read(task) {
    reader = new LayerReader(task);
    return reader.read();
  },
  finish: (lowers) => reader!.finish(lowers),
  contents: ({ after, most }) => reader!.contents(Buffer.from(after), most),
  sync: () => reader!.sync(),
  place: () => reader!.place(),
  close() {
    reader?.close();
    reader = undefined;
  },
};

async function perform(name: keyof LayerCalls, request: unknown): Promise<Reply> {
  try {
    return { ok: true, result: await (CALLS[name] as (request: unknown) => unknown)(request) };
  } catch (error) {
    const kind = error instanceof TarError ? 'tar' : error instanceof StoreError ? 'store' : 'other';
    const { message, stack, code } = error as NodeJS.ErrnoException;
    return { ok: false, kind, message: kind === 'other' && code === undefined ? (stack ?? message) : message, code };
  }
}

parentPort!.on('message', ({ name, request }: { name: keyof LayerCalls; request: unknown }) => {
  void perform(name, request).then((reply) => parentPort!.postMessage(reply));
});
