// Live news of videos by server-sent events: reconnects by itself, sleeps while the page is hidden, says when to reload.
import { eventsUrl, type Video } from './api';
import { backoffMs } from './upload/backoff';

export interface FeedListener {
  /** Connected, for the first time or again: load what may have changed meanwhile. */
  open(): void;
  video(video: Video): void;
  removed(video: string): void;
  /** The connection ended; the feed is trying again. */
  lost(): void;
}

/** Follows all videos, or one. Returns the function that ends it. */
export function follow(listener: FeedListener, video?: string): () => void {
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let attempt = 0;

  const stop = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };
  const start = () => {
    stop();
    source = new EventSource(eventsUrl(video));
    source.onopen = () => {
      attempt = 0;
      listener.open();
    };
    source.addEventListener('video', (event) => heed<Video>(event, (video) => listener.video(video)));
    source.addEventListener('removed', (event) => heed<{ video: string }>(event, ({ video }) => listener.removed(video)));
    source.onerror = again;
  };
  /** The browser's own retry has no backoff and gives up on an HTTP error; ours does neither. */
  const again = () => {
    stop();
    listener.lost();
    timer = setTimeout(start, backoffMs(attempt++));
  };
  /** News that a bad line made unreadable: the next connection begins with how things stand. */
  const heed = <T>(event: MessageEvent<string>, tell: (news: T) => void) => {
    let news: T;
    try {
      news = JSON.parse(event.data);
    } catch {
      return again();
    }
    tell(news);
  };
  // A hidden page keeps no connection: browsers allow six per server over HTTP/1.1, for all tabs together.
  const onVisibility = () => {
    if (document.hidden) stop();
    else if (!source) start();
  };
  document.addEventListener('visibilitychange', onVisibility);
  if (!document.hidden) start();
  return () => {
    document.removeEventListener('visibilitychange', onVisibility);
    stop();
  };
}
