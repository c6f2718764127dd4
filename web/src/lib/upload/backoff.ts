// How long to wait before trying again: exponential with full jitter, so that many pages don't return at once.

const FIRST_MS = 1_000;
const LONGEST_MS = 30_000;

/** The wait before retry number `attempt` (0-based). Never under a quarter of a second: a dead server is not hammered. */
export function backoffMs(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.max(250, Math.round(random() * ceiling));
}

/** Waits; ends early when the network returns, rejects when `signal` aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      clearTimeout(timer);
      globalThis.removeEventListener?.('online', onOnline);
      signal.removeEventListener('abort', onAbort);
      settle();
    };
    const onOnline = () => end(resolve);
    const onAbort = () => end(() => reject(signal.reason));
    const timer = setTimeout(() => end(resolve), ms);
    if (signal.aborted) return onAbort();
    globalThis.addEventListener?.('online', onOnline);
    signal.addEventListener('abort', onAbort);
  });
}
