// What the reference makes of the OpenAPI document.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { curl, groups, shape, type Document } from '../src/lib/reference';

const document: Document = JSON.parse(readFileSync(new URL('../../clients/openapi.json', import.meta.url), 'utf8'));
const operations = groups(document, '').flatMap((group) => group.operations);
const named = (id: string) => operations.find((operation) => operation.operationId === id)!;

test('every operation is shown once', () => {
  const all = Object.values(document.paths).flatMap((item) => Object.keys(item));
  expect(operations.length).toBe(all.length);
  expect(new Set(operations.map((operation) => operation.operationId)).size).toBe(all.length);
});

test('a search finds by every word', () => {
  const found = groups(document, 'POST /finish').flatMap((group) => group.operations.map((operation) => operation.operationId));
  expect(found).toEqual(['finish_upload']);
  expect(groups(document, 'no such words')).toEqual([]);
});

test('a shape reads like the JSON it stands for', () => {
  const problem = shape({ $ref: '#/components/schemas/FinishedUpload' }, document);
  expect(problem).toBe('{\n  upload: string\n  video: string\n}');
  const changes = shape({ $ref: '#/components/schemas/VideoChanges' }, document);
  expect(changes).toContain('title?: string | null');
  for (const name of Object.keys(document.components.schemas)) expect(shape({ $ref: `#/components/schemas/${name}` }, document)).not.toContain('undefined');
});

test('an example names what must be there', () => {
  const text = curl(named('begin_upload'), document, 'http://h');
  expect(text).toContain("curl -X POST 'http://h/v1/uploads'");
  expect(text).toContain('Idempotency-Key');
  expect(text).toContain('"filename":"…"');
  expect(curl(named('is_alive'), document, '')).not.toContain('Authorization');
});
