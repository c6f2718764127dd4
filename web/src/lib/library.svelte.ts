// The list of videos, all or those of a collection, as it is now: loaded in pages, kept current by events.
import * as api from './api';
import { follow } from './feed';
import { belongsLater, upsert, without } from './videos';

const PAGE = 24;
/** A proxy may hold back the first bytes of an event stream; the list does not wait for it longer than this. */
const PATIENCE_MS = 1_500;

class Library {
  videos = $state.raw<api.Video[]>([]);
  loaded = $state(false);
  loadingMore = $state(false);
  live = $state(false);
  error = $state<string | null>(null);
  cursor = $state<string | null>(null);
  /** Names of the collections in which there is something to see. */
  collections = $state.raw<string[]>([]);

  #news = new Map<string, api.Video | null>();
  #loading = 0;
  #collection: string | null = null;
  #following = false;

  /** Follows the list while a page shows it; returns the function that stops. */
  open(): () => void {
    this.#following = true;
    const patience = setTimeout(() => void this.reload(), PATIENCE_MS);
    const end = follow({
      open: () => {
        clearTimeout(patience);
        this.live = true;
        void this.reload();
      },
      video: (video) => this.#hear(video.video, video),
      removed: (video) => this.#hear(video, null),
      lost: () => {
        this.live = false;
        clearTimeout(patience);
        // Also finds out whether it was the session that ended.
        void this.reload();
      },
    });
    return () => {
      this.#following = false;
      clearTimeout(patience);
      end();
    };
  }

  /** Shows the videos of one collection, or all. True once another list than before is there. */
  async filter(collection: string | null): Promise<boolean> {
    if (collection === this.#collection) return false;
    this.#collection = collection;
    this.#empty();
    if (!this.#following) return false;
    await this.reload();
    return this.loaded && collection === this.#collection;
  }

  /** Loads again as many videos as are shown. News that arrive meanwhile are newer than the answer. */
  async reload(): Promise<void> {
    const wanted = Math.max(PAGE, this.videos.length);
    const collection = this.#collection;
    void this.#learn();
    this.#begin();
    try {
      let page = await this.#page(collection);
      const found = [...page.videos];
      while (page.next_cursor && found.length < wanted) {
        page = await this.#page(collection, page.next_cursor);
        found.push(...page.videos);
      }
      this.#accept(collection, found, page.next_cursor ?? null);
    } catch (failure) {
      if (collection === this.#collection) this.error = (failure as Error).message;
    } finally {
      this.#loading -= 1;
    }
  }

  async more(): Promise<void> {
    if (!this.cursor || this.loadingMore) return;
    const collection = this.#collection;
    this.loadingMore = true;
    this.#begin();
    try {
      const page = await this.#page(collection, this.cursor);
      const known = new Set(this.videos.map((v) => v.video));
      this.#accept(collection, [...this.videos, ...page.videos.filter((v) => !known.has(v.video))], page.next_cursor ?? null);
    } catch (failure) {
      if (collection === this.#collection) this.error = (failure as Error).message;
    } finally {
      this.#loading -= 1;
      this.loadingMore = false;
    }
  }

  async edit(video: string, changes: api.VideoChanges): Promise<void> {
    this.#hear(video, await api.editVideo(video, changes));
  }

  async remove(video: string): Promise<void> {
    await api.deleteVideo(video);
    this.#hear(video, null);
  }

  /** Forgets everything: another person may sign in next. */
  clear(): void {
    this.#empty();
    this.collections = [];
  }

  #empty(): void {
    this.videos = [];
    this.loaded = false;
    this.cursor = null;
    this.error = null;
  }

  #begin(): void {
    if (this.#loading === 0) this.#news.clear();
    this.#loading += 1;
  }

  #page(collection: string | null, cursor?: string): Promise<api.VideoPage> {
    return api.videos(PAGE, { cursor, collection: collection ?? undefined });
  }

  async #learn(): Promise<void> {
    // What cannot be offered now is offered later: if something is wrong, the videos' own answer says so.
    this.collections = await api.collections().catch(() => this.collections);
  }

  /** Takes an answer, unless another collection was chosen while it was on its way. */
  #accept(collection: string | null, videos: api.Video[], cursor: string | null): void {
    if (collection !== this.#collection) return;
    this.videos = videos.filter((video) => video.state !== 'deleted');
    this.cursor = cursor;
    this.loaded = true;
    this.error = null;
    for (const [id, video] of this.#news) this.#apply(id, video);
  }

  #hear(id: string, video: api.Video | null): void {
    const before = this.videos.find((shown) => shown.video === id)?.collection;
    const [from, to] = [before ?? null, video?.collection ?? null];
    if ((to !== null && !this.collections.includes(to)) || (from !== null && from !== to)) void this.#learn();
    if (this.#loading > 0) this.#news.set(id, video);
    this.#apply(id, video);
  }

  #apply(id: string, video: api.Video | null): void {
    const elsewhere = this.#collection !== null && video?.collection !== this.#collection;
    if (video === null || elsewhere) this.videos = without(this.videos, id);
    else if (!(this.cursor && belongsLater(this.videos, video))) this.videos = upsert(this.videos, video);
  }
}

export const library = new Library();
