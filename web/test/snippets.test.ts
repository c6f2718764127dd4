import { describe, expect, it } from 'vitest';
import { snippets } from '../src/lib/snippets';

const made = {
  access_key_id: 'THEATRUMU0123456789A',
  secret_access_key: 's/e+c',
  subject: 'ada',
  role: 'author' as const,
  prefix: 'cardiology/',
  created_at: 0,
  endpoint_url: 'https://s3.example.org',
  bucket: 'inbox',
};

describe('snippets', () => {
  it('hold the key, the endpoint and the folder', () => {
    for (const { client, text } of snippets(made)) {
      for (const piece of ['THEATRUMU0123456789A', 's/e+c', 's3.example.org', 'inbox/cardiology/']) expect(text, client).toContain(piece);
    }
  });

  it('say whether the endpoint speaks TLS', () => {
    const s3cmd = (endpoint_url: string) => snippets({ ...made, endpoint_url }).find(({ client }) => client === 's3cmd')?.text;
    expect(s3cmd('https://s3.example.org')).toContain('use_https = True');
    expect(s3cmd('http://127.0.0.1:8081')).toContain('use_https = False');
    expect(s3cmd('http://127.0.0.1:8081')).toContain('host_base = 127.0.0.1:8081');
  });
});
