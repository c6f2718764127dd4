// Where someone stopped watching, kept in this browser for each person and video.
import { forget, keep, recall } from '../memory';

/** Less than this from the start is not worth resuming. */
const START_S = 5;

/** Whether a position is worth coming back to: past the start, and not in the closing seconds. */
export function worthResuming(at: number, duration: number): boolean {
  const closing = Math.max(3, Math.min(30, duration * 0.03));
  return Number.isFinite(duration) && at >= START_S && at < duration - closing;
}

const keyOf = (subject: string, video: string) => `theatrum.position.${JSON.stringify([subject, video])}`;

export function savedPosition(subject: string, video: string): number {
  const at = recall<{ at: number }>(keyOf(subject, video))?.at;
  return typeof at === 'number' && Number.isFinite(at) && at > 0 ? at : 0;
}

export function savePosition(subject: string, video: string, at: number, duration: number): void {
  if (worthResuming(at, duration)) keep(keyOf(subject, video), { at: Math.round(at * 10) / 10 });
  else forget(keyOf(subject, video));
}
