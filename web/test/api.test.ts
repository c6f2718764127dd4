// Answers that lines spoiled: whoever asked may ask again, and never takes nothing for something.
import { afterEach, expect, test, vi } from 'vitest';

vi.stubGlobal(
  'Request',
  class extends Request {
    constructor(url: string, init?: RequestInit) {
      super(new URL(url, 'http://h'), init);
    }
  },
);
const api = await import('../src/lib/api');
const part = { number: 1, size_bytes: 3, sha256: 'ab' } as Parameters<typeof api.grantPart>[1];

afterEach(() => vi.restoreAllMocks());

function answering(answer: Response) {
  vi.spyOn(globalThis, 'fetch').mockResolvedValue(answer);
}

test.each([
  ['without its content', new Response(null, { status: 200 })],
  ['as if it had none', new Response(null, { status: 204 })],
  ['torn', new Response('[{"number":', { status: 200 })],
  ['altered', new Response('[]', { status: 200, headers: { 'content-digest': 'sha-256=:AAAA:' } })],
])('an answer that arrives %s is worth asking for again', async (_, answer) => {
  answering(answer);
  await expect(api.grantPart('0'.repeat(32), part)).rejects.toMatchObject({ name: 'ApiError', status: 0, transient: true });
});

test('what is answered without content needs none', async () => {
  answering(new Response(null, { status: 204 }));
  await expect(api.abortUpload('0'.repeat(32))).resolves.toBeUndefined();
});
