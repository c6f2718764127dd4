// Hashes come from a worker that is proven to hash, or from the page itself.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { digest } from '../src/lib/upload/sha256';

type Task = { id: number; blob: Blob };
type Script = (task: Task, answer: (data: object) => void, worker: Stub) => void;

class Stub {
  static script: Script;
  static started: Stub[] = [];
  onmessage: (event: { data: object }) => void = () => {};
  onerror = () => {};
  tasks = 0;
  terminated = false;
  constructor() {
    Stub.started.push(this);
  }
  postMessage(task: Task) {
    this.tasks += 1;
    Stub.script(task, (data) => this.onmessage({ data }), this);
  }
  terminate() {
    this.terminated = true;
  }
}

const whole: Script = ({ id, blob }, answer) => void digest(blob).then((sha256) => answer({ id, sha256 }));
const file = new Blob(['a part of a film']);

beforeEach(() => {
  vi.resetModules();
  vi.stubGlobal('Worker', Stub);
  Stub.started = [];
});
afterEach(() => {
  vi.unstubAllGlobals();
});

async function hash(patienceMs?: number): Promise<string> {
  const { hashBlob } = await import('../src/lib/upload/hasher');
  return hashBlob(file, patienceMs);
}

test('one worker hashes all parts', async () => {
  Stub.script = whole;
  expect([await hash(), await hash()]).toEqual(Array(2).fill(await digest(file)));
  expect([Stub.started.length, Stub.started[0]?.tasks]).toEqual([1, 3]);
});

test.each<[string, Script, number?]>([
  ['never answers', () => {}, 20],
  ['fails to start', (_, __, worker) => worker.onerror()],
  ['hashes wrongly', ({ id }, answer) => answer({ id, sha256: '0'.repeat(64) })],
  ['reads nothing', ({ id }, answer) => answer({ id, error: 'ReferenceError' })],
  ['falls silent later', (task, answer, worker) => worker.tasks === 1 && whole(task, answer, worker), 500],
])('the page hashes by itself when the worker %s, and tries another next time', async (_, script, patienceMs) => {
  Stub.script = script;
  expect(await hash(patienceMs)).toBe(await digest(file));
  expect(Stub.started.map((worker) => worker.terminated)).toEqual([true]);
  Stub.script = whole;
  expect(await hash()).toBe(await digest(file));
  expect(Stub.started.length).toBe(2);
});

test('a worker that died between two parts is not asked again', async () => {
  Stub.script = whole;
  await hash();
  Stub.started[0]?.onerror();
  expect(await hash()).toBe(await digest(file));
  expect(Stub.started[0]?.tasks).toBe(2);
});

test('a file that is gone is told from a worker that is', async () => {
  Stub.script = (task, answer, worker) => (worker.tasks === 1 ? whole(task, answer, worker) : answer({ id: task.id, error: 'NotReadableError' }));
  await expect(hash()).rejects.toMatchObject({ name: 'UnreadableFile' });
});
