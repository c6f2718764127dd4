// The state of the watch page's player, and everything one can do to it. Components only show this and call it.
import * as api from '../api';
import { keep, recall } from '../memory';
import { underOwnName } from './address';
import { createEngine, type Engine, type Quality } from './engine';
import type { Command } from './keys';
import { savedPosition, savePosition, worthResuming } from './position';
import { refusalWords } from './refusal';
import { nextSpeed } from './speeds';

export type PlayerState = 'loading' | 'playing' | 'paused' | 'waiting' | 'ended' | 'error';

const SAVE_EVERY_S = 3;
/** A session that ends again so soon after it was renewed is not renewed a third time. */
const RENEWAL_REST_MS = 10_000;
const VOLUME = 'theatrum.volume';

export class Player {
  state = $state<PlayerState>('loading');
  time = $state(0);
  duration = $state(Number.NaN);
  bufferedTo = $state(0);
  volume = $state(1);
  muted = $state(false);
  speed = $state(1);
  qualities = $state.raw<Quality[]>([]);
  /** Name of the quality chosen; null: automatic. */
  chosen = $state<string | null>(null);
  /** The rendition that is playing. */
  level = $state.raw<Quality | null>(null);
  fullscreen = $state(false);
  inPicture = $state(false);
  /** Something passing, worth saying: a broken connection. */
  notice = $state<string | null>(null);
  /** Why it cannot go on. */
  error = $state<string | null>(null);
  /** Where this visit began, when it was taken up again. */
  resumedAt = $state<number | null>(null);
  /** It has played in this visit. */
  started = $state(false);
  helpOpen = $state(false);
  /** The last thing a key did, for the eye and the screen reader. */
  feedback = $state<{ text: string; count: number }>({ text: '', count: 0 });

  #element: HTMLVideoElement | undefined;
  #frame: HTMLElement | undefined;
  #engine: Engine | undefined;
  #renewing = false;
  #renewedAt = Number.NEGATIVE_INFINITY;
  #savedAt = 0;
  #closed = false;

  constructor(
    readonly video: string,
    readonly subject: string,
    /** Asks for a playback session; a frame on another site has its own way. */
    readonly open: () => Promise<api.Playback> = () => api.playback(video),
  ) {}

  /** Takes over a <video> and the frame around it; returns the function that lets go. */
  attach(element: HTMLVideoElement, frame: HTMLElement): () => void {
    this.#element = element;
    this.#frame = frame;
    const sound = recall<{ volume: number; muted: boolean }>(VOLUME);
    element.volume = Math.min(1, Math.max(0, sound?.volume ?? 1));
    element.muted = sound?.muted ?? false;
    const forgetListeners = this.#listen(element);
    const at = savedPosition(this.subject, this.video);
    this.resumedAt = at > 0 ? at : null;
    void this.#start(at, true);
    return () => {
      this.#closed = true;
      this.#save();
      forgetListeners();
      this.#engine?.destroy();
    };
  }

  toggle(): void {
    if (this.#element?.paused) void this.play();
    else this.#element?.pause();
  }

  /** Plays if the browser lets it: without a click before, it may not. */
  async play(): Promise<void> {
    await this.#element?.play().catch(() => undefined);
  }

  seekTo(seconds: number): void {
    if (!this.#element || !Number.isFinite(this.duration)) return;
    this.#element.currentTime = Math.min(this.duration, Math.max(0, seconds));
    this.time = this.#element.currentTime;
  }

  setVolume(volume: number): void {
    if (!this.#element) return;
    this.#element.volume = Math.min(1, Math.max(0, volume));
    this.#element.muted = this.#element.volume === 0;
  }

  toggleMuted(): void {
    if (this.#element) this.#element.muted = !this.#element.muted;
  }

  setSpeed(speed: number): void {
    if (!this.#element) return;
    this.#element.defaultPlaybackRate = speed;
    this.#element.playbackRate = speed;
  }

  /** `null`: automatic. */
  setQuality(name: string | null): void {
    this.chosen = name;
    this.#engine?.choose(this.qualities.find((quality) => quality.name === name)?.index ?? -1);
  }

  async toggleFullscreen(): Promise<void> {
    const element = this.#element as (HTMLVideoElement & { webkitEnterFullscreen?: () => void }) | undefined;
    if (document.fullscreenElement) await document.exitFullscreen();
    else if (this.#frame?.requestFullscreen) await this.#frame.requestFullscreen().catch(() => undefined);
    else element?.webkitEnterFullscreen?.();
  }

  get canPictureInPicture(): boolean {
    return document.pictureInPictureEnabled === true;
  }

  async togglePictureInPicture(): Promise<void> {
    if (!this.canPictureInPicture) return;
    if (document.pictureInPictureElement) await document.exitPictureInPicture();
    else await this.#element?.requestPictureInPicture().catch(() => undefined);
  }

  startOver(): void {
    this.resumedAt = null;
    this.seekTo(0);
    void this.play();
  }

  retry(): void {
    this.error = null;
    this.state = 'loading';
    void this.#start(this.time, true);
  }

  obey(command: Command): void {
    switch (command.do) {
      case 'toggle':
        this.#say(this.#element?.paused ? 'Play' : 'Pause');
        return this.toggle();
      case 'seek':
        this.#say(`${command.by > 0 ? 'Forward' : 'Back'} ${Math.abs(command.by)} s`);
        return this.seekTo((this.#element?.currentTime ?? 0) + command.by);
      case 'jump':
        this.#say(`${Math.round(command.to * 100)} %`);
        return this.seekTo(command.to * this.duration);
      case 'volume':
        this.setVolume(Math.round(((this.#element?.volume ?? 1) + command.by) * 10) / 10);
        return this.#say(`Volume ${Math.round((this.#element?.volume ?? 0) * 100)} %`);
      case 'mute':
        this.toggleMuted();
        return this.#say(this.#element?.muted ? 'Sound off' : 'Sound on');
      case 'speed':
        this.setSpeed(nextSpeed(this.#element?.playbackRate ?? 1, command.by));
        return this.#say(`Speed ${this.#element?.playbackRate}×`);
      case 'fullscreen':
        return void this.toggleFullscreen();
      case 'picture-in-picture':
        return void this.togglePictureInPicture();
      case 'help':
        this.helpOpen = !this.helpOpen;
    }
  }

  /** Asks for a session and starts the stream at `startAt` seconds. */
  async #start(startAt: number, play: boolean): Promise<void> {
    try {
      const { playback_url } = await this.open();
      if (this.#closed || !this.#element) return;
      this.#engine?.destroy();
      this.#engine = createEngine(this.#element, underOwnName(playback_url, location), startAt, {
        qualities: (list) => this.#offer(list),
        level: (quality) => (this.level = quality),
        expired: () => void this.#renew(),
        troubled: (message) => (this.notice = message),
        failed: (message) => this.#fail(message),
      });
      this.setSpeed(this.speed);
      if (play) await this.play();
    } catch (failure) {
      if (!this.#closed) this.#fail(refusalWords(failure));
    }
  }

  #offer(list: Quality[]): void {
    this.qualities = list;
    if (this.chosen !== null) this.setQuality(this.chosen);
  }

  /** The session ended: a new one, at the same place, in the same mood. */
  async #renew(): Promise<void> {
    if (this.#renewing || this.#closed) return;
    if (performance.now() - this.#renewedAt < RENEWAL_REST_MS) {
      return this.#fail('The server no longer lets you watch this video. Reload the page, or ask its owner.');
    }
    this.#renewing = true;
    this.#renewedAt = performance.now();
    const wasPlaying = !this.#element?.paused;
    await this.#start(this.#element?.currentTime ?? this.time, wasPlaying);
    this.#renewing = false;
  }

  #fail(message: string): void {
    this.#engine?.destroy();
    this.#engine = undefined;
    this.notice = null;
    this.error = message;
    this.state = 'error';
  }

  #say(text: string): void {
    this.feedback = { text, count: this.feedback.count + 1 };
  }

  #save(): void {
    const element = this.#element;
    if (!element || !Number.isFinite(this.duration) || element.readyState === 0) return;
    savePosition(this.subject, this.video, element.ended ? 0 : element.currentTime, this.duration);
    this.#savedAt = element.currentTime;
  }

  #tick(element: HTMLVideoElement): void {
    // Between two sessions the element is empty and stands at 0: that is no place to remember.
    if (element.readyState === 0) return;
    this.time = element.currentTime;
    const { buffered } = element;
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.start(i) <= this.time + 0.1 && buffered.end(i) >= this.time) this.bufferedTo = buffered.end(i);
    }
    if (Math.abs(this.time - this.#savedAt) >= SAVE_EVERY_S) this.#save();
  }

  #settle(element: HTMLVideoElement): void {
    if (this.error !== null) return;
    if (element.ended) this.state = 'ended';
    else if (element.paused) this.state = element.readyState === 0 ? 'loading' : 'paused';
    else this.state = element.readyState < HTMLMediaElement.HAVE_FUTURE_DATA ? 'waiting' : 'playing';
  }

  #onDuration(element: HTMLVideoElement): void {
    this.duration = element.duration;
    if (this.resumedAt !== null && !worthResuming(this.resumedAt, this.duration)) this.resumedAt = null;
  }

  #onSound(element: HTMLVideoElement): void {
    this.volume = element.volume;
    this.muted = element.muted;
    keep(VOLUME, { volume: element.volume, muted: element.muted });
  }

  #listen(element: HTMLVideoElement): () => void {
    const control = new AbortController();
    const on = (names: string[], target: EventTarget, listener: () => void) => {
      for (const name of names) target.addEventListener(name, listener, { signal: control.signal });
    };
    const settle = ['play', 'pause', 'playing', 'waiting', 'ended', 'seeked', 'canplay', 'loadeddata', 'stalled', 'emptied'];
    on(settle, element, () => this.#settle(element));
    on(['timeupdate', 'progress', 'seeking', 'seeked'], element, () => this.#tick(element));
    on(['playing'], element, () => (this.started = true));
    on(['durationchange'], element, () => this.#onDuration(element));
    on(['volumechange'], element, () => this.#onSound(element));
    on(['ratechange'], element, () => (this.speed = element.playbackRate));
    on(['pause', 'ended'], element, () => this.#save());
    on(['pagehide'], window, () => this.#save());
    on(['fullscreenchange'], document, () => (this.fullscreen = document.fullscreenElement === this.#frame));
    on(['enterpictureinpicture', 'leavepictureinpicture'], element, () => (this.inPicture = document.pictureInPictureElement === element));
    this.volume = element.volume;
    this.muted = element.muted;
    return () => control.abort();
  }
}
