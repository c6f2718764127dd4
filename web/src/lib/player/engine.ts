// Brings an HLS stream into a <video>: hls.js where Media Source Extensions exist, the browser's own HLS elsewhere.
import Hls, { ErrorDetails, ErrorTypes, Events, type ErrorData, type Level } from 'hls.js';
import workerPath from 'hls.js/dist/hls.worker.js?url';

export interface Quality {
  /** Index for `choose`. */
  index: number;
  name: string;
  bitsPerSecond: number;
}

export interface EngineListener {
  qualities(list: Quality[]): void;
  /** The rendition now being played, or null when the browser does not tell. */
  level(quality: Quality | null): void;
  /** The session in the path no longer opens keys or segments. */
  expired(): void;
  /** The connection broke; the engine tries again by itself. `null`: it flows again. */
  troubled(message: string | null): void;
  /** It cannot go on. */
  failed(message: string): void;
}

export interface Engine {
  /** -1: automatic. */
  choose(index: number): void;
  destroy(): void;
}

/** Starts playing `url` at `startAt` seconds. */
export function createEngine(video: HTMLVideoElement, url: string, startAt: number, listener: EngineListener): Engine {
  if (Hls.isSupported()) return new HlsEngine(video, url, startAt, listener);
  if (video.canPlayType('application/vnd.apple.mpegurl')) return nativeEngine(video, url, startAt, listener);
  listener.failed('This browser cannot play streams. Please use a current Firefox, Chrome, Edge or Safari.');
  return { choose: () => {}, destroy: () => {} };
}

/** About two segments. */
const SWITCH_AT_ONCE_S = 15;
const RETRY_FIRST_MS = 1_000;
const RETRY_LONGEST_MS = 15_000;
const MAX_MEDIA_RECOVERIES = 3;

class HlsEngine implements Engine {
  readonly #hls: Hls;
  #qualities: Quality[] = [];
  #retry: ReturnType<typeof setTimeout> | undefined;
  #attempt = 0;
  #recoveries = 0;

  constructor(
    readonly video: HTMLVideoElement,
    url: string,
    startAt: number,
    readonly listener: EngineListener,
  ) {
    this.#hls = new Hls({
      workerPath,
      startPosition: startAt > 0 ? startAt : -1,
      capLevelToPlayerSize: true,
      // Campus networks are fast: the first guess may be better than hls.js's 0.5 Mbit/s.
      abrEwmaDefaultEstimate: 3_000_000,
      backBufferLength: 90,
      // Without advertisements to insert this controller only starts the video against the viewer's will.
      interstitialsController: undefined,
      enableInterstitialPlayback: false,
    });
    this.#hls.on(Events.MANIFEST_PARSED, (_event, data) => this.#offer(data.levels));
    this.#hls.once(Events.LEVEL_LOADED, (_event, { details }) => {
      // Where someone stopped may lie beyond what a trim has left.
      if (startAt >= details.totalduration) this.#hls.startLoad(0);
    });
    this.#hls.on(Events.LEVEL_SWITCHED, (_event, data) => listener.level(this.#qualities.find((q) => q.index === data.level) ?? null));
    this.#hls.on(Events.FRAG_BUFFERED, () => this.#flowing());
    this.#hls.on(Events.ERROR, (_event, data) => this.#onError(data));
    this.#hls.loadSource(url);
    this.#hls.attachMedia(video);
  }

  choose(index: number): void {
    // Standing still, the new picture should show at once; near the end no segment follows that could bring it. Otherwise
    // it comes with the next segment, without a gap.
    const secondsLeft = this.video.duration - this.video.currentTime;
    if (this.video.paused || secondsLeft < SWITCH_AT_ONCE_S) this.#hls.currentLevel = index;
    else this.#hls.nextLevel = index;
  }

  destroy(): void {
    clearTimeout(this.#retry);
    this.#hls.destroy();
  }

  #offer(levels: Level[]): void {
    this.#qualities = levels
      .map((level, index) => ({ index, name: nameOf(level), bitsPerSecond: level.bitrate }))
      .filter((quality) => quality.name !== '');
    this.listener.qualities([...this.#qualities].reverse());
  }

  #flowing(): void {
    if (this.#attempt === 0) return;
    this.#attempt = 0;
    this.listener.troubled(null);
  }

  #onError(data: ErrorData): void {
    const status = data.response?.code ?? 0;
    if (data.type === ErrorTypes.NETWORK_ERROR && (status === 401 || status === 403)) {
      this.#hls.stopLoad();
      return this.listener.expired();
    }
    if (!data.fatal) return;
    if (status === 404 || status === 410) return this.listener.failed('This video is no longer there.');
    if (data.type === ErrorTypes.NETWORK_ERROR) return this.#tryLater(data);
    if (data.type === ErrorTypes.MEDIA_ERROR && this.#recoveries < MAX_MEDIA_RECOVERIES) {
      this.#recoveries += 1;
      return this.#hls.recoverMediaError();
    }
    this.listener.failed(`This video cannot be shown in this browser (${data.details}).`);
  }

  #tryLater(data: ErrorData): void {
    this.listener.troubled('The connection broke; trying again.');
    clearTimeout(this.#retry);
    const wait = Math.min(RETRY_LONGEST_MS, RETRY_FIRST_MS * 2 ** this.#attempt++);
    this.#retry = setTimeout(() => {
      const noManifest = data.details === ErrorDetails.MANIFEST_LOAD_ERROR || data.details === ErrorDetails.MANIFEST_LOAD_TIMEOUT;
      if (noManifest && this.#hls.url) this.#hls.loadSource(this.#hls.url);
      else this.#hls.startLoad();
    }, wait);
  }
}

/** "720p" by the short side, so that a portrait video's qualities are named like any other's. */
function nameOf(level: Level): string {
  return level.width > 0 && level.height > 0 ? `${Math.min(level.width, level.height)}p` : '';
}

/** iPhones before iOS 17.1: the browser chooses the quality and reports errors only as "could not load". */
function nativeEngine(video: HTMLVideoElement, url: string, startAt: number, listener: EngineListener): Engine {
  const onMetadata = () => {
    if (startAt > 0) video.currentTime = startAt;
  };
  const onError = () => {
    const { code } = video.error ?? { code: 0 };
    if (code === MediaError.MEDIA_ERR_NETWORK || code === MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED) listener.expired();
    else listener.failed('This video cannot be shown in this browser.');
  };
  video.addEventListener('loadedmetadata', onMetadata, { once: true });
  video.addEventListener('error', onError);
  video.src = url;
  listener.qualities([]);
  listener.level(null);
  return {
    choose: () => {},
    destroy: () => {
      video.removeEventListener('loadedmetadata', onMetadata);
      video.removeEventListener('error', onError);
      video.removeAttribute('src');
      video.load();
    },
  };
}
