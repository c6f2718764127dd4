// Tests of hashing: the JavaScript path against published vectors and against the platform's own SHA-256.
import { createHash, webcrypto } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { digest } from '../src/lib/upload/sha256';

const VECTORS: [string, string][] = [
  ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
  ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  [
    'abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq',
    '248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1',
  ],
];

describe.each([
  ['subtle', webcrypto.subtle as SubtleCrypto],
  ['JavaScript', null],
])('digest by %s', (_name, subtle) => {
  // `undefined` would mean "the platform's default"; plain-http pages have none.
  const hash = (blob: Blob) => digest(blob, subtle);

  it.each(VECTORS)('of %j', async (text, expected) => {
    expect(await hash(new Blob([text]))).toBe(expected);
  });

  it('of blobs around the size of one piece', async () => {
    for (const length of [1_048_575, 1_048_576, 1_048_577, 3_000_001]) {
      const bytes = new Uint8Array(length).map((_, index) => (index * 31) % 251);
      expect(await hash(new Blob([bytes]))).toBe(createHash('sha256').update(bytes).digest('hex'));
    }
  });
});
