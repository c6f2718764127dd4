// The page's own small router: a few routes, real links, the browser's history.
import { collectionOf } from './collections';

export type Route =
  | { name: 'library'; collection: string | null }
  | { name: 'inbox' }
  | { name: 'watch'; video: string; trim: boolean }
  | { name: 'signin'; next: string }
  | { name: 'reference' }
  | { name: 'missing' };

/** Reads a path and query as a route; pure. */
export function parse(path: string, search = ''): Route {
  const trimmed = path.length > 1 ? path.replace(/\/+$/, '') : path;
  if (trimmed === '/' || trimmed === '') return { name: 'library', collection: collectionOf(search) };
  if (trimmed === '/inbox') return { name: 'inbox' };
  if (trimmed === '/signin') return { name: 'signin', next: safeNext(new URLSearchParams(search).get('next')) };
  if (trimmed === '/docs/api') return { name: 'reference' };
  const watch = /^\/watch\/([0-9a-f]{32})$/.exec(trimmed);
  return watch?.[1] ? { name: 'watch', video: watch[1], trim: new URLSearchParams(search).has('trim') } : { name: 'missing' };
}

/** Where to go after signing in: a path of this page or the library, never another site. */
export function safeNext(next: string | null): string {
  if (!next || !next.startsWith('/') || next.startsWith('//') || next.includes('\\')) return '/';
  const [path = '/'] = next.split('?');
  const { name } = parse(path);
  return name === 'library' || name === 'inbox' || name === 'watch' ? next : '/';
}

class Router {
  route = $state<Route>({ name: 'library', collection: null });
  /** Counts navigations, so that the page moves focus after each but not on the first load. */
  moves = $state(0);

  start(): void {
    this.#read();
    addEventListener('popstate', () => {
      this.#read();
      this.moves += 1;
    });
    document.addEventListener('click', (event) => this.#followLink(event));
  }

  /** `quiet`: the same page goes on, so focus and scroll position stay. */
  go(path: string, { replace = false, quiet = false } = {}): void {
    if (replace) history.replaceState(null, '', path);
    else history.pushState(null, '', path);
    this.#read();
    if (quiet) return;
    this.moves += 1;
    scrollTo(0, 0);
  }

  #read(): void {
    this.route = parse(location.pathname, location.search);
  }

  /** A plain left click on a link into the page is a navigation without a reload. */
  #followLink(event: MouseEvent): void {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = (event.target as Element | null)?.closest?.('a');
    if (!link || link.target || link.hasAttribute('download') || link.origin !== location.origin) return;
    if (link.pathname === location.pathname && link.hash) return;
    if (parse(link.pathname, link.search).name === 'missing') return;
    event.preventDefault();
    this.go(link.pathname + link.search);
  }
}

export const router = new Router();
