// The two points of a trim: read, written, kept in order. Pure; milliseconds of the source.
import { clock } from './format';

export const LEAST_MS = 1_000;

/** 83_250 → "1:23.25": to the hundredth, which is finer than a picture lasts. */
export function pointText(ms: number): string {
  const hundredths = Math.floor((ms % 1000) / 10);
  return hundredths === 0 ? clock(ms / 1000) : `${clock(ms / 1000)}.${String(hundredths).padStart(2, '0')}`;
}

/** "1:02:03", "2:03.5" or "83.25" → milliseconds; `null` for anything else. */
export function readPoint(text: string): number | null {
  const found = /^\s*(?:(?:(\d{1,3}):)?([0-5]?\d):)?(\d{1,6}(?:[.,]\d{1,3})?)\s*$/.exec(text);
  if (!found) return null;
  const [, hours, minutes, seconds = '0'] = found;
  const s = Number(seconds.replace(',', '.'));
  if (minutes !== undefined && s >= 60) return null;
  return Math.round((Number(hours ?? 0) * 3600 + Number(minutes ?? 0) * 60 + s) * 1000);
}

/** Why these points cannot be, as a sentence; `null` when they can. */
export function pointsTrouble(inMs: number | null, outMs: number | null, sourceMs: number): string | null {
  if (inMs === null || outMs === null) return 'Write times such as 1:02:03 or 83.5.';
  if (inMs < 0 || Math.max(inMs, outMs) > sourceMs) return `The source is ${clock(sourceMs / 1000)} long.`;
  if (inMs >= outMs) return 'The start must come before the end.';
  if (outMs - inMs < LEAST_MS) return 'At least one second must remain.';
  return null;
}
