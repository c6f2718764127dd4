// The playback speeds on offer; pure.

export const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2] as const;

/** The next speed up or down, staying within what is on offer. */
export function nextSpeed(now: number, by: 1 | -1): number {
  const found = by > 0 ? SPEEDS.find((speed) => speed > now + 0.001) : SPEEDS.findLast((speed) => speed < now - 0.001);
  return found ?? now;
}

export function speedWords(speed: number): string {
  return speed === 1 ? 'Normal' : `${speed}×`;
}
