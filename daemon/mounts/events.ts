/** What happens in the daemon, for whoever listens: the last events are kept, so that a listener that was away can go on where it stopped. */
import type { Event } from '../api/types';

const KEPT = 1000;

export type News = Omit<Event, 'seq' | 'time'>;

export class Events {
  private readonly kept: Event[] = [];
  private readonly listeners = new Set<(event: Event) => void>();
  /** Numbers go on rising when plyd is started again: they begin with the milliseconds since 1970. */
  private last = Date.now() * 1000;

  emit(news: News): void {
    const event: Event = { seq: ++this.last, time: new Date().toISOString(), ...news };
    this.kept.push(event);
    if (this.kept.length > KEPT) this.kept.shift();
    for (const listener of this.listeners) listener(event);
  }

  /** Those kept that came after `seq`, then all that come. Returns what ends it. */
  listen(since: number | undefined, listener: (event: Event) => void): () => void {
    if (since !== undefined) for (const event of this.kept) if (event.seq > since) listener(event);
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
