// Tests of how times and sizes are written.
import { describe, expect, it } from 'vitest';
import { ago, clock, sentence, size, spokenTime, timeLeft, titleOf, usage } from '../src/lib/format';

describe('clock', () => {
  it.each([
    [0, '0:00'],
    [9.99, '0:09'],
    [75.4, '1:15'],
    [3599.9, '59:59'],
    [3600, '1:00:00'],
    [36_061, '10:01:01'],
    [Number.NaN, '–:––'],
    [Number.POSITIVE_INFINITY, '–:––'],
  ])('writes %s as %s', (seconds, text) => expect(clock(seconds)).toBe(text));
});

describe('spokenTime', () => {
  it.each([
    [0, '0 seconds'],
    [1, '1 second'],
    [3723, '1 hour 2 minutes 3 seconds'],
    [7200, '2 hours'],
    [Number.NaN, 'unknown time'],
  ])('says %s as %s', (seconds, text) => expect(spokenTime(seconds)).toBe(text));
});

describe('usage', () => {
  it('says how much of a quota is in use', () => {
    expect(usage({ used_bytes: 1_234_000_000, limit_bytes: 5_000_000_000 })).toBe('1.2 GB of 5.0 GB in use');
  });
});

describe('size', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [999_600, '1.0 MB'],
    [4_139_823, '4.1 MB'],
    [250_000_000, '250 MB'],
    [12_300_000_000, '12.3 GB'],
  ])('writes %s as %s', (bytes, text) => expect(size(bytes)).toBe(text));
});

describe('timeLeft', () => {
  it.each([
    [0.2, '1 s left'],
    [59, '59 s left'],
    [61, '2 min left'],
    [3600, '1 h left'],
    [4800, '1 h 20 min left'],
    [Number.POSITIVE_INFINITY, ''],
  ])('says %s as "%s"', (seconds, text) => expect(timeLeft(seconds)).toBe(text));
});

describe('ago', () => {
  const now = Date.UTC(2026, 10, 21, 12);
  it.each([
    [5_000, 'just now'],
    [60_000, '1 minute ago'],
    [3 * 3_600_000, '3 hours ago'],
    [2 * 86_400_000, '2 days ago'],
  ])('says %s ms as %s', (ms, text) => expect(ago(now - ms, now)).toBe(text));

  it('names the day when it is long past', () => expect(ago(Date.UTC(2026, 8, 3, 12), now)).toMatch(/^3 Sept? 2026$/));
});

describe('sentence', () => {
  it('capitalises and ends what the server says', () => expect(sentence('token has expired')).toBe('Token has expired.'));
  it('leaves sentences alone', () => expect(sentence('It is over!')).toBe('It is over!'));
});

describe('titleOf', () => {
  it.each([
    ['01_intro_to-anatomy.mp4', '01 intro to-anatomy'],
    ['Lecture 3.final.mov', 'Lecture 3.final'],
    ['.mp4', '.mp4'],
    ['__.mkv', '__.mkv'],
  ])('makes %s into %s', (name, title) => expect(titleOf(name)).toBe(title));
});
