// Tests of the points of a trim.
import { describe, expect, it } from 'vitest';
import { pointsTrouble, pointText, readPoint } from '../src/lib/points';
import { framed } from '../src/lib/framed';

describe('points', () => {
  it('are read as they are written', () => {
    for (const ms of [0, 40, 990, 59_990, 60_000, 83_250, 3_723_000, 43_200_000]) expect(readPoint(pointText(ms))).toBe(ms);
    expect(readPoint('90')).toBe(90_000);
    expect(readPoint(' 2:03,5 ')).toBe(123_500);
    for (const wrong of ['', 'x', '1:60', '1:2:3:4', '-1', '1:', '1e3']) expect(readPoint(wrong)).toBeNull();
  });

  it('must be in order, within the source, a second apart', () => {
    expect(pointsTrouble(0, 10_000, 10_000)).toBeNull();
    expect(pointsTrouble(null, 5, 10)).toMatch(/Write times/);
    expect(pointsTrouble(0, 10_001, 10_000)).toMatch(/0:10 long/);
    expect(pointsTrouble(5_000, 5_000, 10_000)).toMatch(/before/);
    expect(pointsTrouble(5_000, 5_999, 10_000)).toMatch(/one second/);
  });
});

describe('a frame', () => {
  const video = '0123456789abcdef0123456789abcdef';

  it('knows its video and its token', () => {
    expect(framed(`/embed/${video}`, '#a-b.c_d.e')).toEqual({ video, token: 'a-b.c_d.e' });
    expect(framed(`/embed/${video}/`, '')).toEqual({ video, token: null });
    expect(framed(`/embed/${video}`, '#<script>')).toEqual({ video, token: null });
    expect(framed('/embed/..', '#a.b.c')).toBeNull();
  });
});
