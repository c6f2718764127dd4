// The generated client is what its generator makes of the checked-in description.
import { readFileSync } from 'node:fs';
import openapiTypescript, { astToString, COMMENT_HEADER } from 'openapi-typescript';
import { expect, test } from 'vitest';
import { Problem, theatrum } from '../../clients/typescript';

test('generating the client again changes nothing', { timeout: 60_000 }, async () => {
  const generated = COMMENT_HEADER + astToString(await openapiTypescript(new URL('../../clients/openapi.json', import.meta.url)));
  const written = readFileSync(new URL('../../clients/typescript/schema.d.ts', import.meta.url), 'utf8');
  expect(generated === written, 'clients/typescript/schema.d.ts is old: run scripts/api').toBe(true);
});

test('the client for others sends its token and throws every refusal by its code', async () => {
  const asked: Request[] = [];
  const answers = [
    Response.json({ videos: [], next_cursor: null }),
    new Response(JSON.stringify({ code: 'bad-limit', detail: 'limit must be between 1 and 100', request_id: 'r' }), { status: 400 }),
    new Response('<html>', { status: 502 }),
  ];
  const fetch = async (request: Request) => {
    asked.push(request);
    return answers.shift()!;
  };
  const api = theatrum('http://h', 'secret', { fetch });
  const { data } = await api.GET('/v1/videos', { params: { query: { q: 'heart', limit: 10 } } });
  expect(data?.videos).toEqual([]);
  expect(asked[0]?.url).toBe('http://h/v1/videos?q=heart&limit=10');
  expect(asked[0]?.headers.get('authorization')).toBe('Bearer secret');
  await expect(api.GET('/v1/videos')).rejects.toMatchObject({ name: 'Problem', status: 400, code: 'bad-limit', requestId: 'r' });
  await expect(api.GET('/v1/videos')).rejects.toBeInstanceOf(Problem);
});
