// The HTTP API as the page uses it: the generated client, one error type, and one place that notices a lost session.
import createClient from 'openapi-fetch';
import type { components, paths } from '../../../clients/typescript/schema';
import { digest } from './upload/sha256';

type Schemas = components['schemas'];
export type Role = Schemas['RoleWord'];
export type VideoState = Schemas['VideoState'];
export type Session = Schemas['Session'];
export type Video = Schemas['Video'];
export type VideoPage = Schemas['VideoPage'];
export type VideoChanges = Schemas['VideoChanges'];
export type NewUpload = Schemas['BegunUpload'];
export type Replacement = Schemas['Replacement'];
export type Trim = Schemas['Trim'];
export type Embedding = Schemas['Embedding'];
export type UploadStatus = Schemas['Upload'];
export type ReceivedPart = Schemas['ReceivedPart'];
export type PartGrant = Schemas['PartUrl'];
export type Playback = Schemas['Playback'];
export type S3Credential = Schemas['S3Credential'];
export type MadeS3Credential = Schemas['MadeS3Credential'];
export type S3CredentialPage = Schemas['S3CredentialPage'];

/** A request that failed: `status` 0 means that no answer came at all. `code` is the stable word of the problem document. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly missing: number[] = [],
  ) {
    super(message);
    this.name = 'ApiError';
  }

  /** Worth trying again without changing anything? Not 507: room is made by people. */
  get transient(): boolean {
    return this.code === 'idempotency-in-progress' || this.status === 0 || this.status === 408 || this.status === 429 || (this.status >= 500 && this.status !== 507);
  }
}

const REQUEST_TIMEOUT_MS = 30_000;
let whenUnauthorized: () => void = () => {};

/** Calls `listener` whenever the server says that nobody is signed in. */
export function onUnauthorized(listener: () => void): void {
  whenUnauthorized = listener;
}

const client = createClient<paths>({ baseUrl: '', credentials: 'same-origin', fetch: send });

async function send(request: Request): Promise<Response> {
  const body = await request.clone().blob();
  if (body.size) request.headers.set('content-digest', await contentDigest(body));
  let answer;
  try {
    answer = await fetch(request, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
  } catch {
    throw new ApiError(0, 'no-answer', 'The server did not answer. Check the connection and try again.');
  }
  return whole(answer);
}

/** An answer as it was sent (RFC 9530). */
async function whole(answer: Response): Promise<Response> {
  const announced = answer.headers.get('content-digest');
  const bytes = await answer.arrayBuffer().catch(() => null);
  if (!bytes || (announced && announced !== (await contentDigest(new Blob([bytes]))))) {
    throw new ApiError(0, 'damaged', 'The answer was damaged on its way. Try again.');
  }
  return new Response(bytes.byteLength ? bytes : null, { status: answer.status, headers: answer.headers });
}

async function contentDigest(bytes: Blob): Promise<string> {
  const octets = (await digest(bytes)).match(/../g) ?? [];
  return `sha-256=:${btoa(String.fromCharCode(...octets.map((octet) => Number.parseInt(octet, 16))))}:`;
}

type Asked<T> = Promise<{ data?: T; error?: unknown; response: Response }>;

/** What a request was answered with; throws ApiError for every refusal, and for an answer that lost its content on its way. */
async function call<T extends object>(asked: Asked<T>, options = {}): Promise<T> {
  const data = await done(asked, options);
  if (data === undefined) throw unreadable();
  return data;
}

/** As `call`, of what is answered without content. */
async function done<T>(asked: Asked<T>, { ofSession = false } = {}): Promise<T | undefined> {
  const { data, error, response } = await asked.catch((failure) => Promise.reject(failure instanceof ApiError ? failure : unreadable()));
  if (response.ok) return data;
  const failure = problem(response.status, error);
  if (failure.status === 401 && !ofSession) await believe(failure);
  throw failure;
}

/** A line that flips bits makes strangers of people who are signed in: only when the server says so again has the session ended. */
async function believe(failure: ApiError): Promise<void> {
  const { response } = await client.GET('/v1/session');
  if (response.ok) throw new ApiError(0, failure.code, failure.message);
  whenUnauthorized();
}

function problem(status: number, error: unknown): ApiError {
  const fallback = `The server answered ${status}. Try again in a moment.`;
  if (typeof error !== 'object' || error === null) return new ApiError(status, 'unknown', fallback);
  const { code, detail, title, missing } = error as Partial<Schemas['Problem']> & { missing?: number[] };
  return new ApiError(status, String(code ?? 'unknown'), String(detail ?? title ?? fallback), missing ?? []);
}

/** Perhaps damaged on its way with the very header that would tell, so worth trying again. */
function unreadable(): ApiError {
  return new ApiError(0, 'unreadable', 'The server sent an answer this page does not understand. Try again, or reload the page.');
}

const id = encodeURIComponent;

/** The `{id}` of a path. */
const of = (thing: string) => ({ params: { path: { id: thing } } });

export const signIn = (token: string) => done(client.POST('/v1/session', { body: { token } }), { ofSession: true });
export const signOut = () => done(client.DELETE('/v1/session'));
export const session = () => call(client.GET('/v1/session'));

/** `bad-collection` for what is no name of one. */
export const videos = (limit: number, { cursor, collection }: { cursor?: string; collection?: string } = {}) =>
  call(client.GET('/v1/videos', { params: { query: { limit, cursor, collection } } }));
export const video = (video: string) => call(client.GET('/v1/videos/{id}', of(video)));
export const editVideo = (video: string, body: VideoChanges) => call(client.PATCH('/v1/videos/{id}', { ...of(video), body }));
export const deleteVideo = (video: string) => done(client.DELETE('/v1/videos/{id}', of(video)));
export const cancelReplacement = (video: string) => done(client.DELETE('/v1/videos/{id}/replacement', of(video)));
export const trim = (video: string, in_ms: number, out_ms: number | null) =>
  done(client.POST('/v1/videos/{id}/trim', { ...of(video), body: { in_ms, out_ms } }));
export const embedding = (video: string) => call(client.GET('/v1/videos/{id}/embedding', of(video)));
export const setEmbedding = (video: string, origins: string[], oembed: boolean) =>
  call(client.PUT('/v1/videos/{id}/embedding', { ...of(video), body: { origins, oembed } }));
export const embeddedPlayback = (video: string, token: string) =>
  call(client.POST('/v1/videos/{id}/embeds/playback', { ...of(video), body: { token } }), { ofSession: true });
export const playback = (video: string) => call(client.POST('/v1/videos/{id}/playback', of(video)));
export const download = (video: string, rendition: string) =>
  call(client.POST('/v1/videos/{id}/downloads', { ...of(video), body: { rendition } }));
export const posterUrl = (video: string) => `/v1/videos/${id(video)}/poster`;
export const eventsUrl = (video?: string) => (video ? `/v1/changes?video=${id(video)}` : '/v1/changes');

/** A page of the S3 access keys. */
export const s3Credentials = (cursor?: string) => call(client.GET('/v1/s3-credentials', { params: { query: { limit: 100, cursor } } }));
export const createS3Credential = (prefix: string) => call(client.POST('/v1/s3-credentials', { body: { prefix } }));
export const revokeS3Credential = (key: string) =>
  done(client.DELETE('/v1/s3-credentials/{access_key_id}', { params: { path: { access_key_id: key } } }));

/** Names of those in which there is something to see. */
export async function collections(): Promise<string[]> {
  const names: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await call(client.GET('/v1/collections', { params: { query: { limit: 100, cursor } } }));
    names.push(...page.collections.map(({ collection }) => collection));
    cursor = page.next_cursor ?? undefined;
  } while (cursor);
  return names;
}

/** What a user has, and may have. */
export const quotaOf = (user: string) =>
  call(client.GET('/v1/quotas/{kind}/{name}', { params: { path: { kind: 'users', name: user } } }));

/** Begins an upload. Asked again with the same key, because the answer was lost, it gives the upload that was begun. */
export const beginUpload = (file: { filename: string; size_bytes: number; title?: string; replaces?: string; collection?: string }, key: string) =>
  call(client.POST('/v1/uploads', { body: file, params: { header: { 'Idempotency-Key': key } } }));
export const uploadStatus = (upload: string) => call(client.GET('/v1/uploads/{id}', of(upload)));
export const finishUpload = (upload: string) => call(client.POST('/v1/uploads/{id}/finish', of(upload)));
export const abortUpload = (upload: string) => done(client.DELETE('/v1/uploads/{id}', of(upload)));

export async function grantPart(upload: string, part: ReceivedPart): Promise<PartGrant> {
  const grants = await call(client.POST('/v1/uploads/{id}/parts', { ...of(upload), body: [part] }));
  const grant = grants[0];
  if (!grant) throw new ApiError(502, 'no-grant', 'The server gave no address for this part.');
  return grant;
}
