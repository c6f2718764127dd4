// Sends one part to the object store. XMLHttpRequest, because fetch tells nothing of an upload's progress.
import type { PartGrant } from '../api';

export interface PutAnswer {
  /** 0: no answer came. */
  status: number;
  /** The store's answer, XML when it refused. */
  body: string;
}

/** With no progress for so long the connection counts as broken. */
const STALL_MS = 60_000;
/** After the last byte the store still checks and syncs. */
const SETTLE_MS = 180_000;

/** PUTs `body` as `grant` says. Resolves for every answer, also refusals; rejects only when `signal` aborts. */
export function putPart(grant: PartGrant, body: Blob, progress: (bytes: number) => void, signal: AbortSignal): Promise<PutAnswer> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const request = new XMLHttpRequest();
    let watchdog = setTimeout(() => request.abort(), STALL_MS);
    const rearm = (ms: number) => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => request.abort(), ms);
    };
    const onAbort = () => request.abort();
    signal.addEventListener('abort', onAbort);

    request.upload.onprogress = (event) => {
      rearm(STALL_MS);
      progress(event.loaded);
    };
    request.upload.onload = () => rearm(SETTLE_MS);
    request.onloadend = () => {
      clearTimeout(watchdog);
      signal.removeEventListener('abort', onAbort);
      if (signal.aborted) reject(signal.reason);
      else resolve({ status: request.status, body: request.responseText });
    };
    request.open(grant.method, grant.url);
    for (const [name, value] of Object.entries(grant.headers)) {
      if (!forbidden(name)) request.setRequestHeader(name, value);
    }
    request.send(body);
  });
}

/** Headers that the browser sets itself and refuses to be told. */
function forbidden(name: string): boolean {
  return ['host', 'content-length', 'connection', 'origin'].includes(name.toLowerCase());
}
