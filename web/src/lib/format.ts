// Numbers and times as people read them. Pure functions; no clock, no locale surprises.

const SIZE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** 75.4 → "1:15", 3723 → "1:02:03". Anything not a time (NaN, live) → "–:––". */
export function clock(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return '–:––';
  const whole = Math.floor(seconds);
  const pad = (n: number) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  return h > 0 ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}

/** 3723 → "1 hour 2 minutes 3 seconds": the clock for a screen reader. */
export function spokenTime(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 0) return 'unknown time';
  const whole = Math.floor(seconds);
  const parts = [
    plural(Math.floor(whole / 3600), 'hour'),
    plural(Math.floor((whole % 3600) / 60), 'minute'),
    plural(whole % 60, 'second'),
  ].filter((part) => !part.startsWith('0 '));
  return parts.join(' ') || '0 seconds';
}

/** 1 → "1 video", 3 → "3 videos". */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** How much of a quota is in use: "1.2 GB of 5.0 GB in use". */
export function usage(quota: { used_bytes: number; limit_bytes: number }): string {
  return `${size(quota.used_bytes)} of ${size(quota.limit_bytes)} in use`;
}

/** Bytes in decimal units: 4139823 → "4.1 MB". */
export function size(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = 0;
  while (value >= 999.5 && unit < SIZE_UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${SIZE_UNITS[unit]}`;
}

/** Seconds still to go, rounded to what is worth saying: "8 s left", "3 min left", "1 h 20 min left". */
export function timeLeft(seconds: number): string {
  if (!Number.isFinite(seconds)) return '';
  if (seconds < 60) return `${Math.max(1, Math.ceil(seconds))} s left`;
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 60) return `${minutes} min left`;
  const [h, m] = [Math.floor(minutes / 60), minutes % 60];
  return m === 0 ? `${h} h left` : `${h} h ${m} min left`;
}

/** When something happened, seen from `now` (both epoch milliseconds): "just now", "5 minutes ago", "12 Nov 2026". */
export function ago(atMs: number, nowMs: number): string {
  const seconds = Math.max(0, (nowMs - atMs) / 1000);
  if (seconds < 60) return 'just now';
  if (seconds < 3600) return `${plural(Math.floor(seconds / 60), 'minute')} ago`;
  if (seconds < 86_400) return `${plural(Math.floor(seconds / 3600), 'hour')} ago`;
  if (seconds < 7 * 86_400) return `${plural(Math.floor(seconds / 86_400), 'day')} ago`;
  return date(atMs);
}

/** Epoch milliseconds → "12 Nov 2026" in the reader's time zone. */
export function date(atMs: number): string {
  return new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' }).format(atMs);
}

/** The server's errors are lower case without a full stop; the page speaks in sentences. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  if (trimmed === '') return '';
  const capital = trimmed.charAt(0).toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}

/** "01_intro_to-anatomy.mp4" → "01 intro to-anatomy": the title suggested for a file. */
export function titleOf(filename: string): string {
  const stem = filename.replace(/\.[A-Za-z0-9]{1,5}$/, '');
  const words = stem.replace(/[_\s]+/g, ' ').trim();
  // By characters, not by UTF-16 units: half of a pair is no text.
  return Array.from(words || filename).slice(0, 200).join('');
}
