// Who is signed in. The session itself is a cookie that no script can read; the page only knows what the server tells it.
import * as api from './api';
import { canRemember, forget, keep, recall } from './memory';
import { router } from './router.svelte';

const HINT = 'theatrum.signed-in';

class SessionStore {
  current = $state<api.Session | null>(null);
  /** False until the first answer, so that nothing flickers. */
  known = $state(false);
  /** Set when a session ended by itself: the sign-in page says why one is there. */
  ended = $state(false);
  /** The server could not be asked at all. */
  unreachable = $state<string | null>(null);

  /** Asks the server once. Someone who never signed in here is not asked about: that would only log a 401. */
  async start(): Promise<void> {
    api.onUnauthorized(() => this.#lost());
    if (canRemember() && !recall(HINT)) {
      this.#toSignIn();
      this.known = true;
      return;
    }
    await this.load();
  }

  async load(): Promise<void> {
    this.unreachable = null;
    try {
      this.current = await api.session();
      keep(HINT, true);
    } catch (failure) {
      if (!(failure instanceof api.ApiError && failure.status === 401)) this.unreachable = (failure as Error).message;
    }
    this.known = true;
    if (this.current && router.route.name === 'signin') router.go(router.route.next, { replace: true });
  }

  /** Exchanges an access token for the cookie; throws ApiError when the server refuses it. */
  async signIn(token: string): Promise<void> {
    await api.signIn(token);
    this.current = await api.session();
    this.ended = false;
    keep(HINT, true);
    router.go(router.route.name === 'signin' ? router.route.next : '/', { replace: true });
  }

  async signOut(): Promise<void> {
    await api.signOut();
    this.current = null;
    this.ended = false;
    forget(HINT);
    router.go('/signin');
  }

  mayUpload(): boolean {
    return this.current?.role === 'admin' || this.current?.role === 'author';
  }

  mayDelete(video: api.Video): boolean {
    return this.#owns(video);
  }

  /** The renditions of a finished video. */
  mayDownload(video: api.Video): boolean {
    return video.state === 'ready' && (this.#owns(video) || this.current?.viewers_may_download === true);
  }

  mayDownloadSource(video: api.Video): boolean {
    return this.#owns(video);
  }

  #owns(video: api.Video): boolean {
    const who = this.current;
    return who?.role === 'admin' || (who?.role === 'author' && who.subject === video.owner);
  }

  #lost(): void {
    this.ended = this.current !== null;
    this.current = null;
    forget(HINT);
    this.#toSignIn();
  }

  #toSignIn(): void {
    // The reference is there for everyone.
    if (router.route.name === 'signin' || router.route.name === 'reference') return;
    const here = location.pathname + location.search;
    router.go(here === '/' ? '/signin' : `/signin?next=${encodeURIComponent(here)}`, { replace: true, quiet: !this.known });
  }
}

export const session = new SessionStore();
