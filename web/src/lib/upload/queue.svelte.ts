// All uploads of this page: one file at a time, each with its own pause, resume and cancel.
import * as api from '../api';
import { sentence } from '../format';
import { session } from '../session.svelte';
import { backoffMs, pause } from './backoff';
import { hashBlob } from './hasher';
import { putPart } from './put';
import { RateMeter } from './rate';
import { forgetUpload, rememberedUpload, rememberUpload } from './remembered';
import { type Ports, Transfer } from './transfer';

export type UploadState = 'waiting' | 'uploading' | 'paused' | 'failed' | 'done';

/** Where a file goes: into the place of another video's source, or into a collection, or just into the library. */
export interface Goal {
  replaces?: string;
  collection?: string;
}

let nextKey = 0;

export class Upload {
  readonly key = nextKey++;
  state = $state<UploadState>('waiting');
  sentBytes = $state(0);
  rate = $state(0);
  secondsLeft = $state(Number.POSITIVE_INFINITY);
  /** Why it failed, or why it is waiting for the connection. */
  message = $state<string | null>(null);
  /** Set once everything has arrived. */
  video = $state<string | null>(null);

  readonly #meter = new RateMeter();
  readonly #transfer: Transfer;
  #control = new AbortController();

  constructor(
    readonly file: File,
    readonly subject: string,
    readonly goal: Goal,
  ) {
    this.#transfer = new Transfer(file, portsFor(file, subject, goal), {
      progress: (bytes) => this.#note(bytes),
      troubled: (failure) => {
        this.message = failure ? troubleWords(failure) : null;
        if (failure) this.#meter.reset();
      },
    });
  }

  /** The video whose source the file is to replace. */
  get replaces(): string | undefined {
    return this.goal.replaces;
  }

  get percent(): number {
    if (this.state === 'done') return 100;
    return this.file.size === 0 ? 0 : Math.floor((this.sentBytes * 100) / this.file.size);
  }

  get active(): boolean {
    return this.state === 'uploading' || this.state === 'waiting';
  }

  async run(): Promise<void> {
    this.state = 'uploading';
    this.message = null;
    // Held here too: a quick resume puts another in its place before this run has noticed the pause.
    const control = new AbortController();
    this.#control = control;
    try {
      this.video = await this.#transfer.run(control.signal);
      this.sentBytes = this.file.size;
      this.state = 'done';
    } catch (failure) {
      if (!control.signal.aborted) this.#fail(failure);
    }
    this.#meter.reset();
    this.rate = 0;
  }

  pause(): void {
    this.state = 'paused';
    this.message = null;
    this.#control.abort(new DOMException('paused', 'AbortError'));
  }

  /** Stops for good and tells the server to throw the parts away. */
  async cancel(): Promise<void> {
    this.pause();
    forgetUpload(keeper(this.subject, this.replaces), this.file);
    const { upload } = this.#transfer;
    // Should this fail, the server lets the upload expire by itself.
    if (upload) await api.abortUpload(upload).catch(() => undefined);
  }

  #fail(failure: unknown): void {
    if (failure instanceof api.ApiError && failure.status === 401) {
      this.state = 'paused';
      this.message = 'You were signed out. Sign in again and resume.';
      return;
    }
    this.state = 'failed';
    this.message = failure instanceof Error ? sentence(failure.message) : 'The upload failed.';
  }

  #note(bytes: number): void {
    this.sentBytes = bytes;
    // Bytes flow: whatever was the matter is over.
    this.message = null;
    this.#meter.note(performance.now(), bytes);
    this.rate = this.#meter.bytesPerSecond();
    this.secondsLeft = this.#meter.secondsLeft(this.file.size);
  }
}

/** Why an upload waits: what the server says of itself, such as that its disk is full, or that nothing came back. */
function troubleWords(failure: Error): string {
  const spoken = failure instanceof api.ApiError && failure.status === 503;
  return spoken ? `${sentence(failure.message)} Trying again.` : 'The connection broke; trying again.';
}

/** Under whose name an upload is remembered: one that replaces a video is never taken up as another. */
function keeper(subject: string, replaces?: string): string {
  return replaces === undefined ? subject : `${subject} ${replaces}`;
}

function portsFor(file: File, subject: string, { replaces, collection }: Goal): Ports {
  const who = keeper(subject, replaces);
  return {
    // A video keeps its title and its collection when its source is replaced.
    begin: ({ filename, size_bytes, title }, key) =>
      api.beginUpload(replaces === undefined ? { filename, size_bytes, title, collection } : { filename, size_bytes, replaces }, key),
    status: api.uploadStatus,
    grant: api.grantPart,
    finish: api.finishUpload,
    put: putPart,
    hash: hashBlob,
    wait: (attempt, signal) => pause(backoffMs(attempt), signal),
    recall: () => rememberedUpload(who, file, collection),
    remember: (upload) => rememberUpload(who, file, upload, collection),
    forget: () => forgetUpload(who, file),
  };
}

class UploadQueue {
  items = $state<Upload[]>([]);

  /** The files that are still on their way. */
  get active(): Upload[] {
    return this.items.filter((item) => item.active);
  }

  /** Adds files; one that is already listed and not finished is taken up again instead. */
  add(files: Iterable<File>, goal: Goal = {}): void {
    const subject = session.current?.subject ?? '';
    for (const file of files) {
      const same = this.items.find((item) => item.state !== 'done' && item.replaces === goal.replaces && sameFile(item.file, file));
      if (same) this.#replace(same, new Upload(file, subject, goal));
      else this.items.push(new Upload(file, subject, goal));
    }
    this.#next();
  }

  pause(item: Upload): void {
    item.pause();
    this.#next();
  }

  resume(item: Upload): void {
    item.state = 'waiting';
    item.message = null;
    this.#next();
  }

  async cancel(item: Upload): Promise<void> {
    this.dismiss(item);
    await item.cancel();
    this.#next();
  }

  dismiss(item: Upload): void {
    this.items = this.items.filter((other) => other.key !== item.key);
  }

  /** Stops everything, for signing out; what arrived stays at the server and can be resumed. */
  clear(): void {
    for (const item of this.items) if (item.active) item.pause();
    this.items = [];
  }

  #replace(old: Upload, fresh: Upload): void {
    if (old.active) return;
    this.items = this.items.map((item) => (item.key === old.key ? fresh : item));
  }

  #next(): void {
    if (this.items.some((item) => item.state === 'uploading')) return;
    const item = this.items.find((candidate) => candidate.state === 'waiting');
    if (item) void item.run().then(() => this.#next());
  }
}

function sameFile(a: File, b: File): boolean {
  return a.name === b.name && a.size === b.size && a.lastModified === b.lastModified;
}

export const uploads = new UploadQueue();
