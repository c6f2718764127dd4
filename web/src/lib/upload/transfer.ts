// One file on its way: begin or take up again, send the missing parts four at a time, finish. Survives whatever passes.
import { ApiError, type NewUpload, type PartGrant, type ReceivedPart, type UploadStatus } from '../api';
import { titleOf } from '../format';
import { Ledger } from './plan';
import type { PutAnswer } from './put';

const LANES = 4;
/** How often a part, or a question, may be refused before that is believed: a bit that flips on its way makes a good request a bad one. */
const MAX_REFUSALS = 5;
/** How often a part that is the same as ever may arrive as another: there is no line left to hope for. */
const MAX_DAMAGED = 100;
/** How often `finish` may name missing parts. */
const MAX_ROUNDS = 5;

/** What a transfer needs from the world; tests bring their own. */
export interface Ports {
  begin(file: { filename: string; size_bytes: number; title: string }, key: string): Promise<NewUpload>;
  status(upload: string): Promise<UploadStatus>;
  grant(upload: string, part: ReceivedPart): Promise<PartGrant>;
  put(grant: PartGrant, body: Blob, progress: (bytes: number) => void, signal: AbortSignal): Promise<PutAnswer>;
  finish(upload: string): Promise<{ video: string }>;
  hash(blob: Blob): Promise<string>;
  wait(attempt: number, signal: AbortSignal): Promise<void>;
  recall(): string | undefined;
  remember(upload: string): void;
  forget(): void;
}

/** What a transfer tells: bytes at the server, and whether it is waiting for the connection. */
export interface Watcher {
  progress(sentBytes: number): void;
  troubled(failure: Error | null): void;
}

/** An upload that cannot go on by itself. The message is for people. */
export class TransferError extends Error {
  override name = 'TransferError';
}

export class Transfer {
  #upload: string | undefined;
  /** Names the wish for a new upload: a lost answer makes no second one. */
  #key: string | undefined;
  #ledger: Ledger | undefined;
  /** Hashes of the file's parts, kept over a pause. */
  #hashes = new Map<number, string>();
  /** What the server said it has when the upload was taken up. */
  #claimed = new Map<number, string>();

  constructor(
    readonly file: File,
    readonly ports: Ports,
    readonly watcher: Watcher,
  ) {}

  get upload(): string | undefined {
    return this.#upload;
  }

  /** Runs until the upload is finished and returns the video's id. Aborting pauses: run again to go on. */
  async run(signal: AbortSignal): Promise<string> {
    const finished = await this.#persist(() => this.#open(), signal);
    if (finished) return finished;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      await this.#sendAll(signal);
      const video = await this.#persist(() => this.#finish(), signal);
      if (video) {
        this.ports.forget();
        return video;
      }
    }
    throw new TransferError('The server keeps losing parts of this file. Please tell your administrator.');
  }

  /** Takes up the remembered upload when it still stands, else begins one. Returns the video when all was done already. */
  async #open(): Promise<string | undefined> {
    const known = this.#upload ?? this.ports.recall();
    const status = known ? await this.#standing(known) : undefined;
    if (status?.state === 'finished') {
      this.ports.forget();
      return status.video;
    }
    if (status) {
      this.#adopt(status);
      this.#claimed = new Map(status.received.map((part) => [part.number, part.sha256]));
      return undefined;
    }
    const { name, size } = this.file;
    this.#key ??= randomKey();
    const fresh = await this.ports.begin({ filename: name, size_bytes: size, title: titleOf(name) }, this.#key);
    this.#key = undefined;
    this.#adopt(fresh);
    this.#claimed.clear();
    this.ports.remember(fresh.upload);
    return undefined;
  }

  /** The upload if it can still be continued or is finished; undefined if it is gone. */
  async #standing(upload: string): Promise<UploadStatus | undefined> {
    try {
      const status = await this.ports.status(upload);
      const ours = status.size_bytes === this.file.size;
      return ours && (status.state === 'open' || status.state === 'finished') ? status : undefined;
    } catch (failure) {
      if (failure instanceof ApiError && (failure.status === 404 || failure.status === 410 || failure.status === 403)) return undefined;
      throw failure;
    }
  }

  #adopt(upload: NewUpload): void {
    if (upload.upload !== this.#upload) this.#hashes.clear();
    this.#upload = upload.upload;
    this.#ledger = new Ledger(this.file.size, upload.part_size_bytes);
  }

  async #sendAll(signal: AbortSignal): Promise<void> {
    const queue = this.#book().missing();
    const inner = new AbortController();
    const onAbort = () => inner.abort(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort);
    const lane = async () => {
      for (let number = queue.shift(); number !== undefined; number = queue.shift()) await this.#sendPart(number, inner.signal);
    };
    try {
      await Promise.all(Array.from({ length: LANES }, lane));
    } catch (failure) {
      inner.abort(failure);
      throw failure;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #sendPart(number: number, signal: AbortSignal): Promise<void> {
    const ledger = this.#book();
    const { start, end } = ledger.range(number);
    const blob = this.file.slice(start, end);
    if (this.#claimed.get(number) !== (await this.#hash(number, blob, signal))) {
      let refusals = 0;
      let damaged = 0;
      await this.#persist(async () => {
        const sha256 = await this.#hash(number, blob, signal);
        const answer = await this.#offer(number, blob, signal);
        if (answer.status >= 200 && answer.status < 300) return;
        ledger.lose(number);
        // The file may have been saved again while it was sent: read it anew. If it was not, the line has altered the part.
        if (answer.status === 400) this.#hashes.delete(number);
        const isDamaged = answer.status === 400 && (await this.#hash(number, blob, signal)) === sha256;
        if (isDamaged && ++damaged >= MAX_DAMAGED) throw new TransferError(DAMAGED_WORDS);
        refusals = !isDamaged && answer.status >= 400 && answer.status < 500 ? refusals + 1 : 0;
        if (refusals >= MAX_REFUSALS) throw new TransferError(refusalWords(answer));
        throw new ApiError(answer.status === 0 ? 0 : 503, 'part-not-taken', element(answer.body, 'Message') ?? 'A part did not arrive.');
      }, signal);
    }
    ledger.finish(number);
    this.watcher.progress(ledger.sentBytes());
  }

  /** Asks for an address, fresh for every attempt, and sends the part there. */
  async #offer(number: number, blob: Blob, signal: AbortSignal): Promise<PutAnswer> {
    const ledger = this.#book();
    const sha256 = await this.#hash(number, blob, signal);
    const grant = await this.ports.grant(this.#id(), { number, size_bytes: blob.size, sha256 });
    signal.throwIfAborted();
    const report = (bytes: number) => {
      ledger.progress(number, bytes);
      this.watcher.progress(ledger.sentBytes());
    };
    try {
      return await this.ports.put(grant, blob, report, signal);
    } catch (failure) {
      ledger.lose(number);
      throw failure;
    }
  }

  async #hash(number: number, blob: Blob, signal: AbortSignal): Promise<string> {
    const sha256 = this.#hashes.get(number) ?? (await this.ports.hash(blob));
    signal.throwIfAborted();
    this.#hashes.set(number, sha256);
    return sha256;
  }

  /** The video, or undefined when parts turned out to be missing: they are then on the list again. */
  async #finish(): Promise<string | undefined> {
    try {
      return (await this.ports.finish(this.#id())).video;
    } catch (failure) {
      if (!(failure instanceof ApiError) || failure.code !== 'parts-missing') throw failure;
      for (const number of failure.missing) {
        this.#book().lose(number);
        this.#claimed.delete(number);
      }
      return undefined;
    }
  }

  /** Repeats a step for as long as its failure is of the passing kind, and until a refusal is believed. */
  async #persist<T>(step: () => Promise<T>, signal: AbortSignal): Promise<T> {
    let refusals = 0;
    for (let attempt = 0; ; attempt++) {
      signal.throwIfAborted();
      try {
        const result = await step();
        if (attempt > 0) this.watcher.troubled(null);
        return result;
      } catch (failure) {
        signal.throwIfAborted();
        if (!(failure instanceof ApiError)) throw failure;
        // A damaged request is never the server's own trouble; and who is signed in has been asked twice already.
        const doubtful = failure.status < 500 && failure.status !== 401;
        if (!failure.transient && (!doubtful || ++refusals >= MAX_REFUSALS)) throw failure;
        this.watcher.troubled(failure);
        await this.ports.wait(failure.transient ? attempt : 0, signal);
      }
    }
  }

  #book(): Ledger {
    if (!this.#ledger) throw new Error('the upload was not opened');
    return this.#ledger;
  }

  #id(): string {
    if (!this.#upload) throw new Error('the upload was not opened');
    return this.#upload;
  }
}

const DAMAGED_WORDS = 'Parts of this file arrive damaged again and again: something on the way to the server alters them. Try it on another network.';

/** The text of an element of the store's XML. */
function element(xml: string, name: string): string | undefined {
  return new RegExp(`<${name}>([^<]+)</${name}>`).exec(xml)?.[1];
}

/** 128 random bits; `crypto.randomUUID` is there in secure contexts only. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function refusalWords(answer: PutAnswer): string {
  const code = element(answer.body, 'Code');
  if (code === 'NoSuchUpload') return 'This upload has expired at the server. Choose the file again to start over.';
  if (answer.status === 400) return 'The file changes while it is being sent. Close the program that writes it, then choose it again.';
  return `The store refuses parts of this file (${code ?? answer.status}). Please tell your administrator.`;
}
