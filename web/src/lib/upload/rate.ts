// How fast bytes are going, over the last few seconds; pure: the caller brings the clock.

const WINDOW_MS = 10_000;
/** Below this span a rate is a guess. */
const SHORTEST_MS = 500;

export class RateMeter {
  #samples: { atMs: number; bytes: number }[] = [];

  /** Notes that `bytes` in total had been sent at `atMs`. A total that falls (a part was lost) starts anew. */
  note(atMs: number, bytes: number): void {
    const last = this.#samples.at(-1);
    if (last && bytes < last.bytes) this.#samples = [];
    this.#samples.push({ atMs, bytes });
    while (this.#samples.length > 2 && atMs - (this.#samples[1]?.atMs ?? atMs) > WINDOW_MS) this.#samples.shift();
  }

  /** Bytes per second, or 0 while unknown. */
  bytesPerSecond(): number {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || last.atMs - first.atMs < SHORTEST_MS) return 0;
    return ((last.bytes - first.bytes) * 1000) / (last.atMs - first.atMs);
  }

  /** Seconds until `total` bytes are sent at the present rate; Infinity while unknown. */
  secondsLeft(total: number): number {
    const last = this.#samples.at(-1);
    const rate = this.bytesPerSecond();
    return last && rate > 0 ? Math.max(0, total - last.bytes) / rate : Number.POSITIVE_INFINITY;
  }

  reset(): void {
    this.#samples = [];
  }
}
