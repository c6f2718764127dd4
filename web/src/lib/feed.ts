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

/** The server says something every 15 seconds; after so long the connection has broken unnoticed. */
const SILENCE_MS = 45_000;

/** Follows all videos, or one. Returns the function that ends it. */
export function follow(listener: FeedListener, video?: string): () => void {
  let source: EventSource | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let watchdog: ReturnType<typeof setTimeout> | undefined;
  let attempt = 0;

  const stop = () => {
    clearTimeout(timer);
    clearTimeout(watchdog);
    source?.close();
    source = null;
  };
  const heard = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(again, SILENCE_MS);
  };
  const start = () => {
    stop();
    source = new EventSource(eventsUrl(video));
    heard();
    source.onopen = () => {
      attempt = 0;
      heard();
      listener.open();
    };
    source.addEventListener('alive', heard);
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
    heard();
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
