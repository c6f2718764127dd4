// The live feed takes up again whatever breaks, noticed or not.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { follow } from '../src/lib/feed';

class Source extends EventTarget {
  static all: Source[] = [];
  onopen = () => {};
  onerror = () => {};
  closed = false;
  constructor(readonly url: string) {
    super();
    Source.all.push(this);
  }
  close() {
    this.closed = true;
  }
  tell(type: string, data: string) {
    this.dispatchEvent(new MessageEvent(type, { data }));
  }
}

const listener = { open: vi.fn(), video: vi.fn(), removed: vi.fn(), lost: vi.fn() };
const newest = () => Source.all.at(-1)!;

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal('EventSource', Source);
  vi.stubGlobal('document', Object.assign(new EventTarget(), { hidden: false }));
  Source.all = [];
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.clearAllMocks();
});

test('a connection that has gone silent is made anew', () => {
  const end = follow(listener);
  newest().onopen();
  for (let heartbeats = 0; heartbeats < 10; heartbeats++) {
    vi.advanceTimersByTime(15_000);
    newest().tell('alive', '{}');
  }
  expect([Source.all.length, listener.lost.mock.calls.length]).toEqual([1, 0]);
  vi.advanceTimersByTime(46_000);
  expect([newest().closed || Source.all.length === 2, listener.lost.mock.calls.length]).toEqual([true, 1]);
  vi.advanceTimersByTime(2_000);
  expect([Source.all.length, Source.all[0]?.closed]).toEqual([2, true]);
  end();
  vi.advanceTimersByTime(600_000);
  expect([Source.all.length, newest().closed]).toEqual([2, true]);
});

test('news that cannot be read is a connection that broke', () => {
  const end = follow(listener, 'v');
  expect(newest().url).toBe('/v1/changes?video=v');
  newest().tell('video', '{"video":"v"}');
  newest().tell('removed', '{"video":"w"}');
  expect([listener.video.mock.calls, listener.removed.mock.calls]).toEqual([[[{ video: 'v' }]], [['w']]]);
  newest().tell('video', '{"vid');
  expect(listener.lost).toHaveBeenCalledOnce();
  end();
});
