// Lists of videos and the words for their states; pure.
import type { Video } from './api';

/** What the page offers to upload. */
export const ACCEPT = 'video/*,audio/*,.mkv,.mts,.m2ts,.ts,.mov,.mxf,.avi';

/** Newest first; equal times by id, which is itself ordered by time. */
export function newestFirst(a: Video, b: Video): number {
  return b.created_at - a.created_at || (b.video < a.video ? -1 : b.video > a.video ? 1 : 0);
}

/** The list with `video` added or replaced, still newest first. */
export function upsert(list: Video[], video: Video): Video[] {
  if (video.state === 'deleted') return without(list, video.video);
  const index = list.findIndex((other) => other.video === video.video);
  if (index >= 0) return list.with(index, video);
  return [...list, video].sort(newestFirst);
}

export function without(list: Video[], video: string): Video[] {
  return list.filter((other) => other.video !== video);
}

/** True when a list that ends at its last video, with more to load, should not yet show this one. */
export function belongsLater(list: Video[], video: Video): boolean {
  const last = list.at(-1);
  return last !== undefined && newestFirst(video, last) > 0;
}

export function stageWords(video: Pick<Video, 'stage'>): string {
  switch (video.stage) {
    case 'queued':
      return 'Waiting for its turn';
    case 'probing':
      return 'Examining the file';
    case 'encoding':
      return 'Encoding';
    case 'publishing':
      return 'Publishing';
    case 'done':
      return 'Finishing';
  }
}

/** Why a video will not play, as a sentence; `null` when it does or will. */
export function trouble(video: Video): string | null {
  if (video.state === 'refused') return video.refusal?.message ?? 'This file cannot be used as a video.';
  if (video.state === 'failed') return video.refusal?.message ?? 'Processing failed. An administrator can see why and start it again.';
  return null;
}

/** Can it be watched now? */
export function watchable(video: Video): boolean {
  return video.playable || video.state === 'ready';
}

/** Is a new version of it being made? */
export function beingReplaced(video: Video): boolean {
  return video.replacement?.state === 'processing';
}

/** Why the last attempt to replace it came to nothing, as a sentence; `null` when there is nothing to say. */
export function replacementTrouble(video: Video): string | null {
  const { state, kind, refusal } = video.replacement ?? {};
  const what = kind === 'trim' ? 'It was not trimmed' : 'The new file was not taken';
  if (state === 'refused') return `${what}: ${refusal?.message ?? 'it cannot be used as a video'}. What played before plays on.`;
  if (state === 'failed') return `${what}: processing failed. An administrator can see why and start it again. What played before plays on.`;
  return null;
}

/** Heights on offer, best first: "1080p, 720p, 480p". */
export function qualityWords(video: Video): string {
  const names = video.renditions.filter((r) => r.kind === 'video').map((r) => r.name);
  return names.sort((a, b) => Number.parseInt(b) - Number.parseInt(a)).join(', ');
}

export function audioOnly(video: Pick<Video, 'renditions'>): boolean {
  return video.renditions.length > 0 && video.renditions.every((r) => r.kind === 'audio');
}

/** What of a finished video can be downloaded, the best picture first, and the original last for those who may have it. */
export function downloads(video: Video, source: boolean): { name: string; words: string; detail: string }[] {
  const best = [...video.renditions].sort((a, b) => (b.height ?? 0) - (a.height ?? 0));
  const listed = best.map(({ name, kind }) => (kind === 'video' ? { name, words: name, detail: 'MP4' } : { name, words: 'Sound', detail: 'M4A' }));
  return source ? [...listed, { name: 'source', words: 'Original file', detail: 'as uploaded' }] : listed;
}
