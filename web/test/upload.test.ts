// Tests of the parts plan, the rate meter and the backoff.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { backoffMs, pause } from '../src/lib/upload/backoff';
import { Ledger, missingParts, partCount, partRange } from '../src/lib/upload/plan';
import { RateMeter } from '../src/lib/upload/rate';
import { rememberedUpload, rememberUpload, uploadKey } from '../src/lib/upload/remembered';

describe('parts', () => {
  it('cover the file exactly once', () => {
    for (const [fileSize, partSize] of [[1, 8], [8, 8], [9, 8], [64, 8], [4_139_823, 1_048_576]] as const) {
      let at = 0;
      for (let number = 1; number <= partCount(fileSize, partSize); number++) {
        const { start, end } = partRange(number, fileSize, partSize);
        expect(start).toBe(at);
        expect(end).toBeGreaterThan(start);
        at = end;
      }
      expect(at).toBe(fileSize);
    }
  });

  it('that are done are not sent again', () => expect(missingParts(5, new Set([2, 3]))).toEqual([1, 4, 5]));
});

describe('Ledger', () => {
  it('counts finished parts and parts under way', () => {
    const ledger = new Ledger(25, 10);
    ledger.finish(3);
    ledger.progress(1, 4);
    expect(ledger.sentBytes()).toBe(9);
    ledger.progress(1, 4000);
    expect(ledger.sentBytes()).toBe(15);
    ledger.lose(1);
    expect(ledger.sentBytes()).toBe(5);
    expect(ledger.missing()).toEqual([1, 2]);
  });
});

describe('RateMeter', () => {
  it('knows nothing at first', () => {
    const meter = new RateMeter();
    meter.note(0, 0);
    meter.note(100, 1000);
    expect(meter.bytesPerSecond()).toBe(0);
    expect(meter.secondsLeft(10_000)).toBe(Number.POSITIVE_INFINITY);
  });

  it('forgets what is long past', () => {
    const meter = new RateMeter();
    for (let s = 0; s <= 30; s++) meter.note(s * 1000, s < 15 ? s * 10 : 150 + (s - 15) * 1000);
    expect(meter.bytesPerSecond()).toBeCloseTo(1000, 0);
    expect(meter.secondsLeft(16_150)).toBeCloseTo(1, 1);
  });

  it('starts anew when bytes are lost', () => {
    const meter = new RateMeter();
    meter.note(0, 0);
    meter.note(1000, 5000);
    meter.note(1100, 1000);
    expect(meter.bytesPerSecond()).toBe(0);
  });
});

describe('backoff', () => {
  it('doubles up to half a minute, with full jitter', () => {
    expect([0, 1, 2, 5, 50].map((attempt) => backoffMs(attempt, () => 1))).toEqual([1000, 2000, 4000, 30_000, 30_000]);
    expect(backoffMs(5, () => 0)).toBe(250);
  });

  it('ends at once when aborted', async () => {
    const control = new AbortController();
    const waiting = pause(60_000, control.signal);
    control.abort(new Error('paused'));
    await expect(waiting).rejects.toThrow('paused');
  });
});

describe('uploadKey', () => {
  it('tells files and people apart', () => {
    const file = { name: 'a.mp4', size: 1, lastModified: 2 };
    const keys = [uploadKey('x', file), uploadKey('y', file), uploadKey('x', { ...file, size: 12 }), uploadKey('x', { ...file, lastModified: 3 })];
    expect(new Set(keys).size).toBe(4);
  });
});

describe('a remembered upload', () => {
  const file = { name: 'a.mp4', size: 1, lastModified: 2 };
  const kept = new Map<string, string>();

  afterEach(() => {
    kept.clear();
    vi.unstubAllGlobals();
  });

  it('is taken up again, but not for another collection', () => {
    vi.stubGlobal('localStorage', { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, text: string) => kept.set(key, text) });
    rememberUpload('x', file, 'u1', 'Anatomy');
    expect(rememberedUpload('x', file)).toBe('u1');
    expect(rememberedUpload('x', file, 'Anatomy')).toBe('u1');
    expect(rememberedUpload('x', file, 'Physiology')).toBeUndefined();
    expect(rememberedUpload('y', file)).toBeUndefined();
  });
});
