// SHA-256 of a blob as hex: the browser's own where the page is in a secure context, else in JavaScript, piece by piece.
import { sha256 } from '@noble/hashes/sha2.js';

const PIECE_BYTES = 1024 * 1024;

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Lower-case hex. `subtle` is null on plain-http hosts: browsers keep it for secure contexts. */
export async function digest(blob: Blob, subtle: SubtleCrypto | null = globalThis.crypto?.subtle ?? null): Promise<string> {
  if (subtle) return hex(new Uint8Array(await subtle.digest('SHA-256', await blob.arrayBuffer())));
  const state = sha256.create();
  for (let at = 0; at < blob.size; at += PIECE_BYTES) {
    state.update(new Uint8Array(await blob.slice(at, at + PIECE_BYTES).arrayBuffer()));
  }
  return hex(state.digest());
}
