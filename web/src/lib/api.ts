// The HTTP API as the page uses it: one function per request, one error type, and one place that notices a lost session.
import { digest } from './upload/sha256';

export type Role = 'admin' | 'author' | 'viewer';
export type VideoState = 'processing' | 'ready' | 'refused' | 'failed' | 'deleted';
export type Stage = 'queued' | 'probing' | 'encoding' | 'publishing' | 'done';

export interface Session {
  subject: string;
  role: Role;
  expires_at: number;
  s3_origin: string;
}

export interface Rendition {
  name: string;
  kind: 'video' | 'audio';
  width?: number;
  height?: number;
}

export interface Video {
  video: string;
  title: string;
  owner: string;
  state: VideoState;
  playable: boolean;
  stage: Stage;
  percent: number;
  created_at: number;
  playable_at?: number | null;
  ready_at?: number | null;
  duration_ms?: number | null;
  width?: number | null;
  height?: number | null;
  renditions: Rendition[];
  truncated: boolean;
  has_poster: boolean;
  refusal?: { code: string; message: string } | null;
  watch_url: string;
}

export interface VideoPage {
  videos: Video[];
  next_cursor?: string | null;
}

export interface NewUpload {
  upload: string;
  video: string;
  part_size_bytes: number;
  parts: number;
  expires_at: number;
}

export interface ReceivedPart {
  number: number;
  size_bytes: number;
  sha256: string;
}

export interface UploadStatus extends NewUpload {
  filename: string;
  size_bytes: number;
  state: 'open' | 'finished' | 'aborted' | 'expired';
  received: ReceivedPart[];
}

export interface PartGrant {
  number: number;
  method: string;
  url: string;
  headers: Record<string, string>;
  expires_at: number;
}

export interface Playback {
  playback_url: string;
  expires_at: number;
  session: string;
}

export interface S3Credential {
  access_key_id: string;
  subject: string;
  role: Role;
  prefix: string;
  created_at: number;
}

export interface MadeS3Credential extends S3Credential {
  secret_access_key: string;
  endpoint_url: string;
  bucket: string;
}

export interface S3CredentialList {
  credentials: S3Credential[];
  endpoint_url: string;
  bucket: string;
}

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
    return this.status === 0 || this.status === 408 || this.status === 429 || (this.status >= 500 && this.status !== 507);
  }
}

const REQUEST_TIMEOUT_MS = 30_000;
const SESSION = '/v1/session';
let whenUnauthorized: () => void = () => {};

/** Calls `listener` whenever the server says that nobody is signed in. */
export function onUnauthorized(listener: () => void): void {
  whenUnauthorized = listener;
}

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const answer = await send(method, path, body);
  const text = await whole(answer);
  if (answer.status === 204) return undefined as T;
  if (answer.ok) return parsed(answer, text) as T;
  const failure = problem(answer, text);
  if (failure.status === 401 && !(method === 'POST' && path === SESSION)) await believe(failure, path);
  throw failure;
}

/** A line that flips bits makes strangers of people who are signed in: only when the server says so again has the session ended. */
async function believe(failure: ApiError, path: string): Promise<void> {
  if (path !== SESSION && (await send('GET', SESSION)).ok) throw new ApiError(0, failure.code, failure.message);
  whenUnauthorized();
}

async function send(method: string, path: string, body?: unknown): Promise<Response> {
  const init: RequestInit = { method, credentials: 'same-origin', signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) };
  if (body !== undefined) {
    const text = JSON.stringify(body);
    init.headers = { 'content-type': 'application/json', 'content-digest': await contentDigest(new Blob([text])) };
    init.body = text;
  }
  try {
    return await fetch(path, init);
  } catch {
    throw new ApiError(0, 'no-answer', 'The server did not answer. Check the connection and try again.');
  }
}

/** The text of an answer as it was sent (RFC 9530). */
async function whole(answer: Response): Promise<string> {
  const announced = answer.headers.get('content-digest');
  const bytes = await answer.blob().catch(() => null);
  if (bytes && (!announced || announced === (await contentDigest(bytes)))) return bytes.text();
  throw new ApiError(0, 'damaged', 'The answer was damaged on its way. Try again.');
}

async function contentDigest(bytes: Blob): Promise<string> {
  const octets = (await digest(bytes)).match(/../g) ?? [];
  return `sha-256=:${btoa(String.fromCharCode(...octets.map((octet) => Number.parseInt(octet, 16))))}:`;
}

function parsed(answer: Response, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(answer.status, 'unreadable', 'The server sent an answer this page does not understand. Reload the page.');
  }
}

function problem(answer: Response, text: string): ApiError {
  const fallback = `The server answered ${answer.status}. Try again in a moment.`;
  try {
    const { code, detail, title, missing } = JSON.parse(text);
    return new ApiError(answer.status, String(code ?? 'unknown'), String(detail ?? title ?? fallback), missing ?? []);
  } catch {
    return new ApiError(answer.status, 'unknown', fallback);
  }
}

const id = encodeURIComponent;

export const signIn = (token: string) => call<void>('POST', SESSION, { token });
export const signOut = () => call<void>('DELETE', SESSION);
export const session = () => call<Session>('GET', SESSION);

export function videos(limit: number, cursor?: string): Promise<VideoPage> {
  const query = new URLSearchParams({ limit: String(limit) });
  if (cursor) query.set('cursor', cursor);
  return call('GET', `/v1/videos?${query}`);
}

export const video = (video: string) => call<Video>('GET', `/v1/videos/${id(video)}`);
export const deleteVideo = (video: string) => call<void>('DELETE', `/v1/videos/${id(video)}`);
export const playback = (video: string) => call<Playback>('POST', `/v1/videos/${id(video)}/playback`);
export const posterUrl = (video: string) => `/v1/videos/${id(video)}/poster`;
export const eventsUrl = (video?: string) => (video ? `/v1/events?video=${id(video)}` : '/v1/events');

export const s3Credentials = () => call<S3CredentialList>('GET', '/v1/s3-credentials');
export const createS3Credential = (prefix: string) => call<MadeS3Credential>('POST', '/v1/s3-credentials', { prefix });
export const revokeS3Credential = (key: string) => call<void>('DELETE', `/v1/s3-credentials/${id(key)}`);

export const beginUpload = (file: { filename: string; size_bytes: number; title: string }) =>
  call<NewUpload>('POST', '/v1/uploads', file);
export const uploadStatus = (upload: string) => call<UploadStatus>('GET', `/v1/uploads/${id(upload)}`);
export const finishUpload = (upload: string) => call<{ upload: string; video: string }>('POST', `/v1/uploads/${id(upload)}/finish`);
export const abortUpload = (upload: string) => call<void>('DELETE', `/v1/uploads/${id(upload)}`);

export async function grantPart(upload: string, part: ReceivedPart): Promise<PartGrant> {
  const grants = await call<PartGrant[]>('POST', `/v1/uploads/${id(upload)}/parts`, [part]);
  const grant = grants[0];
  if (!grant) throw new ApiError(502, 'no-grant', 'The server gave no address for this part.');
  return grant;
}
