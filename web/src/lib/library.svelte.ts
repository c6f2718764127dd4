// The list of videos as it is now: loaded in pages, kept current by events.
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

  #news = new Map<string, api.Video | null>();
  #loading = 0;

  /** Follows the list while a page shows it; returns the function that stops. */
  open(): () => void {
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
      clearTimeout(patience);
      end();
    };
  }

  /** Loads again as many videos as are shown. News that arrive meanwhile are newer than the answer. */
  async reload(): Promise<void> {
    const wanted = Math.max(PAGE, this.videos.length);
    this.#begin();
    try {
      let page = await api.videos(PAGE);
      const found = [...page.videos];
      while (page.next_cursor && found.length < wanted) {
        page = await api.videos(PAGE, page.next_cursor);
        found.push(...page.videos);
      }
      this.#accept(found, page.next_cursor ?? null);
    } catch (failure) {
      this.error = (failure as Error).message;
    } finally {
      this.#loading -= 1;
    }
  }

  async more(): Promise<void> {
    if (!this.cursor || this.loadingMore) return;
    this.loadingMore = true;
    this.#begin();
    try {
      const page = await api.videos(PAGE, this.cursor);
      const known = new Set(this.videos.map((v) => v.video));
      this.#accept([...this.videos, ...page.videos.filter((v) => !known.has(v.video))], page.next_cursor ?? null);
    } catch (failure) {
      this.error = (failure as Error).message;
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
    this.videos = [];
    this.loaded = false;
    this.cursor = null;
    this.error = null;
  }

  #begin(): void {
    if (this.#loading === 0) this.#news.clear();
    this.#loading += 1;
  }

  #accept(videos: api.Video[], cursor: string | null): void {
    this.videos = videos.filter((video) => video.state !== 'deleted');
    this.cursor = cursor;
    this.loaded = true;
    this.error = null;
    for (const [id, video] of this.#news) this.#apply(id, video);
  }

  #hear(id: string, video: api.Video | null): void {
    if (this.#loading > 0) this.#news.set(id, video);
    this.#apply(id, video);
  }

  #apply(id: string, video: api.Video | null): void {
    if (video === null) this.videos = without(this.videos, id);
    else if (!(this.cursor && belongsLater(this.videos, video))) this.videos = upsert(this.videos, video);
  }
}

export const library = new Library();
