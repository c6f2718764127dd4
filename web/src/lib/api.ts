// The HTTP API as the page uses it: one function per request, one error type, and one place that notices a lost session.

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
let whenUnauthorized: () => void = () => {};

/** Calls `listener` whenever the server says that nobody is signed in. */
export function onUnauthorized(listener: () => void): void {
  whenUnauthorized = listener;
}

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const answer = await send(method, path, body);
  if (answer.status === 204) return undefined as T;
  if (answer.ok) return (await answer.json().catch(() => Promise.reject(unreadable(answer)))) as T;
  const failure = await problem(answer);
  if (failure.status === 401 && !(method === 'POST' && path === '/v1/session')) whenUnauthorized();
  throw failure;
}

async function send(method: string, path: string, body?: unknown): Promise<Response> {
  const init: RequestInit = { method, credentials: 'same-origin', signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) };
  if (body !== undefined) {
    init.headers = { 'content-type': 'application/json' };
    init.body = JSON.stringify(body);
  }
  try {
    return await fetch(path, init);
  } catch {
    throw new ApiError(0, 'no-answer', 'The server did not answer. Check the connection and try again.');
  }
}

async function problem(answer: Response): Promise<ApiError> {
  const fallback = `The server answered ${answer.status}. Try again in a moment.`;
  try {
    const { code, detail, title, missing } = await answer.json();
    return new ApiError(answer.status, String(code ?? 'unknown'), String(detail ?? title ?? fallback), missing ?? []);
  } catch {
    return new ApiError(answer.status, 'unknown', fallback);
  }
}

function unreadable(answer: Response): ApiError {
  return new ApiError(answer.status, 'unreadable', 'The server sent an answer this page does not understand. Reload the page.');
}

const id = encodeURIComponent;

export const signIn = (token: string) => call<void>('POST', '/v1/session', { token });
export const signOut = () => call<void>('DELETE', '/v1/session');
export const session = () => call<Session>('GET', '/v1/session');

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

export interface Quota {
  kind: 'user' | 'collection';
  name: string;
  used_bytes: number;
  limit_bytes: number | null;
  is_default: boolean;
}

/** Everyone's for administrators, one's own for all others. */
export const quotas = async () => (await call<{ quotas: Quota[] }>('GET', '/v1/quotas')).quotas;

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
