// Tests of routes and of the list of videos.
import { describe, expect, it } from 'vitest';
import type { Video } from '../src/lib/api';
import { collectionOf, libraryPath } from '../src/lib/collections';
import { parse, safeNext } from '../src/lib/router.svelte';
import { belongsLater, downloads, qualityWords, trouble, upsert, without } from '../src/lib/videos';

const ID = '0197a1b2c3d4e5f60718293a4b5c6d7e';

const rendition = (name: string, kind: string) => ({ name, kind, width: null, height: null });

function video(id: string, created_at: number, more: Partial<Video> = {}): Video {
  return {
    collection: null, playable_at: null, ready_at: null, duration_ms: null, width: null, height: null, refusal: null, replacement: null, trim: null,
    video: id, title: id, owner: 'o', state: 'ready', playable: true, stage: 'done', percent: 100, created_at,
    renditions: [], truncated: false, has_poster: false, watch_url: `/watch/${id}`, ...more,
  };
}

describe('router', () => {
  it.each([
    ['/', '', { name: 'library', collection: null }],
    ['/', '?collection=Cardiology%20/2026', { name: 'library', collection: 'Cardiology/2026' }],
    ['/', '?collection=', { name: 'library', collection: null }],
    [`/watch/${ID}`, '', { name: 'watch', video: ID, trim: false }],
    [`/watch/${ID}`, '?trim', { name: 'watch', video: ID, trim: true }],
    [`/watch/${ID}/`, '', { name: 'watch', video: ID, trim: false }],
    ['/watch/../etc', '', { name: 'missing' }],
    ['/signin', `?next=/watch/${ID}`, { name: 'signin', next: `/watch/${ID}` }],
    ['/nowhere', '', { name: 'missing' }],
  ])('reads %s%s', (path, search, route) => expect(parse(path, search)).toEqual(route));

  it.each(['//evil.example', 'https://evil.example', '/\\evil', '/signin', '', null])('never leads from sign-in to %j', (next) =>
    expect(safeNext(next)).toBe('/'),
  );
});

describe('the address of a collection', () => {
  it.each(['Cardiology/2026', 'a & b?', '100 % #1', 'Münster +'])('leads to %j', (name) => expect(collectionOf(new URL(libraryPath(name), 'http://x').search)).toBe(name));
  it('is readable', () => expect(libraryPath('Cardiology/2026')).toBe('/?collection=Cardiology/2026'));
  it('of all is the library', () => expect(libraryPath(null)).toBe('/'));
});

describe('videos', () => {
  const list = [video('c', 3), video('b', 2), video('a', 1)];

  it('stay newest first', () => {
    expect(upsert(list, video('d', 4)).map((v) => v.video)).toEqual(['d', 'c', 'b', 'a']);
    expect(upsert(list, video('bb', 2)).map((v) => v.video)).toEqual(['c', 'bb', 'b', 'a']);
  });
  it('are replaced in place', () => expect(upsert(list, video('b', 2, { percent: 7 }))[1]?.percent).toBe(7));
  it('leave when deleted', () => {
    expect(upsert(list, video('b', 2, { state: 'deleted' }))).toHaveLength(2);
    expect(without(list, 'a')).toHaveLength(2);
  });
  it('older than the last one shown wait for their page', () => {
    expect(belongsLater(list, video('0', 0))).toBe(true);
    expect(belongsLater(list, video('d', 4))).toBe(false);
  });
  it('say what is wrong with them', () => {
    expect(trouble(video('a', 1))).toBeNull();
    expect(trouble(video('a', 1, { state: 'refused', refusal: { code: 'x', message: 'Not a video.' } }))).toBe('Not a video.');
  });
  it('name their qualities best first', () =>
    expect(qualityWords(video('a', 1, { renditions: [rendition('480p', 'video'), rendition('1080p', 'video'), rendition('audio', 'audio')] }))).toBe('1080p, 480p'));
  it('are downloaded best first, the original last', () => {
    const renditions = [
      { ...rendition('360p', 'video'), height: 360 },
      { ...rendition('720p', 'video'), height: 720 },
      rendition('audio', 'audio'),
    ];
    const names = (source: boolean) => downloads(video('a', 1, { renditions }), source).map((choice) => choice.name);
    expect(names(false)).toEqual(['720p', '360p', 'audio']);
    expect(names(true)).toEqual(['720p', '360p', 'audio', 'source']);
  });
});
