// A typed client of Theatrum's HTTP API: openapi-fetch over the types that were generated from the server's own description.
import createClient, { type ClientOptions, type Middleware } from 'openapi-fetch';
import type { paths } from './schema';

export type { components, operations, paths } from './schema';

/** Why the server said no (RFC 9457): go by `code`. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly requestId: string | undefined,
  ) {
    super(detail);
    this.name = 'Problem';
  }
}

/** Throws a [`Problem`] for every refusal, so that `data` is there whenever a call returns. */
const refuse: Middleware = {
  async onResponse({ response }) {
    if (response.ok || response.status === 304) return undefined;
    const document = await response
      .clone()
      .json()
      .catch(() => ({}));
    const detail = document.detail ?? `the server answered ${response.status}`;
    throw new Problem(response.status, document.code ?? 'unknown', detail, document.request_id);
  },
};

/** A client of the server at `baseUrl` that sends `token`. */
export function theatrum(baseUrl: string, token: string, options: ClientOptions = {}) {
  const headers = { authorization: `Bearer ${token}` };
  const client = createClient<paths>({ ...options, baseUrl, headers });
  client.use(refuse);
  return client;
}
