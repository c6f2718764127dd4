// Which address the player is given for a stream.

const LOOPBACK = /^(localhost|127\.0\.0\.1|\[::1\])$/;

/**
 * The same stream under the name this page was opened by. A server on this machine has several names, its links use one of them,
 * and the page's policy lets it ask no other origin than its own. Any other address is left alone.
 */
export function underOwnName(url: string, page: { origin: string; hostname: string; port: string }): string {
  const target = new URL(url, page.origin);
  const own = target.port === page.port && LOOPBACK.test(target.hostname) && LOOPBACK.test(page.hostname);
  return own ? page.origin + target.pathname + target.search : url;
}
