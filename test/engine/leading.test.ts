/** Which worker serves a mount alone: without a device, from what the workers were asked. */
import t from 'tap';
import { Clock } from '../../daemon/engine/clock.js';
import { leaderOf, Leading } from '../../daemon/engine/leading.js';
import { EngineMountWord, EngineWord, EngineWorkerWord, mountRecord, workerSlot } from '../../daemon/engine/words.js';
import { Opcode } from '../../daemon/protocol/abi.js';
import { Control, WorkerSlot } from '../../daemon/overlay/table/layout.js';

const MOUNT = 3;
const CALLER = 4711;

/** Two workers, on the CPUs 4 and 5; `cpu` is where callers run. */
class Two {
  readonly words = new Int32Array(Control.JOBS);
  cpu = 5;
  looks = 0;
  readonly workers = [1, 2].map((worker) => new Leading(this.words, worker, 2, [4, 5], () => (this.looks++, this.cpu)));

  constructor() {
    for (const worker of [1, 2]) this.words[workerSlot(worker) + EngineWorkerWord.EPOLL] = 100 + worker;
  }

  /** The first decision within so many wake-ups. */
  decision(worker: number, times: number, isCrowd = false): number | undefined {
    for (let i = 0; i < times; i++) {
      const leader = this.workers[worker - 1].served(MOUNT, CALLER, isCrowd);
      if (leader !== undefined) return leader;
    }
    return undefined;
  }

  lead(worker: number): void {
    this.words[mountRecord(MOUNT) + EngineMountWord.LEADER] = worker;
  }
}

t.test('the worker of the callers CPU is to lead when nobody else has been at work for some time', (t) => {
  const two = new Two();
  t.equal(two.decision(1, 40), undefined);
  t.equal(two.looks, 0, 'nor has anybody looked');
  t.equal(two.decision(1, 40), 2);
  two.cpu = 4;
  t.equal(two.decision(2, 80), 1);
  two.cpu = 9;
  t.equal(two.decision(2, 80), 2, 'where no worker is: who serves');
  t.end();
});

t.test('not while others are at work, or requests come two at a time', (t) => {
  const two = new Two();
  for (let i = 0; i < 20; i++) {
    t.equal(two.decision(1, 50), undefined);
    t.equal(two.decision(1, 1, true), undefined);
  }
  for (let i = 0; i < 20; i++) {
    t.equal(two.decision(2, 50), undefined);
    two.words[workerSlot(1) + WorkerSlot.BUSY_SINCE] = 1;
    two.words[workerSlot(1) + WorkerSlot.OPCODE] = Opcode.LOOKUP;
    t.equal(two.decision(2, 1), undefined);
    two.words[workerSlot(1) + WorkerSlot.BUSY_SINCE] = 0;
  }
  t.end();
});

t.test('what nobody waits for is done beside', (t) => {
  for (const opcode of [Opcode.RELEASE, Opcode.FORGET, 0]) {
    const two = new Two();
    two.words[workerSlot(1) + WorkerSlot.BUSY_SINCE] = 1;
    two.words[workerSlot(1) + WorkerSlot.OPCODE] = opcode;
    t.equal(two.decision(2, 80), 2);
    two.cpu = 4;
    t.equal(two.decision(2, 80), 2, 'but who does it is not to lead');
  }
  t.end();
});

t.test('when requests come two at a time, all serve again', (t) => {
  const two = new Two();
  two.lead(2);
  t.equal(two.decision(2, 3, true), undefined, 'some are nothing');
  t.equal(two.decision(2, 1, true), 0);
  two.lead(2);
  for (let i = 0; i < 100; i++) {
    t.equal(two.decision(2, 1, true), undefined);
    t.equal(two.decision(2, 10), undefined, 'now and then is nothing');
  }
  t.end();
});

t.test('where a leader was stuck there is none for some time', (t) => {
  const two = new Two();
  const clock = new Clock();
  two.words[EngineWord.LEADER_STUCK] = clock.now() - 1000;
  t.equal(two.decision(2, 1000), undefined);
  two.words[EngineWord.LEADER_STUCK] = clock.now() + 500;
  t.equal(two.decision(2, 1000), undefined, 'by the clock of the thread that found it, which may be a little ahead');
  two.words[EngineWord.LEADER_STUCK] = clock.now() - 6000;
  t.equal(two.decision(2, 80), 2);
  t.end();
});

t.test('a caller that goes to another CPU is followed', (t) => {
  const two = new Two();
  two.lead(2);
  t.equal(two.decision(2, 1000), undefined);
  t.ok(two.looks > 1000 / 64 && two.looks < 1000 / 16, `${two.looks} looks for 1,000 wake-ups`);
  two.cpu = 4;
  t.equal(two.decision(2, 64), 1);
  t.end();
});

t.test('who has just come to lead keeps its caller for some answers', (t) => {
  const two = new Two();
  const [one, other] = two.workers;
  const stays = (who: Leading): number => Array.from({ length: 200 }, () => who.isToStay(MOUNT)).filter(Boolean).length;
  t.equal(stays(one), 0);
  two.lead(1);
  t.ok(stays(one) > 0);
  t.equal(stays(one), 0, 'once');
  t.equal(stays(other), 0, 'the others do not');
  two.cpu = 5;
  t.equal(two.decision(1, 100), 2);
  two.lead(2);
  t.ok(stays(other) > 0);
  two.cpu = 4;
  t.equal(two.decision(2, 100), 1);
  two.lead(1);
  t.ok(stays(one) > 0, 'it comes to lead again, though it has not heard of the other');
  t.end();
});

t.test('who has not begun is not to lead', (t) => {
  const two = new Two();
  two.words[workerSlot(2) + EngineWorkerWord.EPOLL] = 0;
  t.equal(two.decision(1, 80), 1);
  two.lead(1);
  t.equal(two.decision(1, 200), undefined);
  t.end();
});

t.test('with one CPU there is nobody to choose among', (t) => {
  const words = new Int32Array(Control.JOBS);
  const alone = new Leading(words, 1, 3, [4], () => 4);
  for (let i = 0; i < 1000; i++) t.equal(alone.served(MOUNT, CALLER, i % 2 === 0), undefined);
  t.equal(leaderOf(words, MOUNT), 0);
  t.end();
});
