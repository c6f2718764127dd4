// What the address of a frame says: which video, and the token that lets its viewer watch. Pure.

export interface Framed {
  video: string;
  /** From the fragment, which browsers send to no server; `null`: the site gave none. */
  token: string | null;
}

/** Reads `/embed/{video}#{token}`; `null` when it names no video. */
export function framed(path: string, hash: string): Framed | null {
  const video = /^\/embed\/([0-9a-f]{32})\/?$/.exec(path)?.[1];
  if (!video) return null;
  const token = hash.replace(/^#/, '');
  return { video, token: /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token) ? token : null };
}
