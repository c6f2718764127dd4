// The page's side of the hashing worker: one worker for all uploads, started when first needed, and trusted once it has hashed what we know.
import { digest } from './sha256';

/** Every answer comes in far less; the script of a worker that is silent for so long came damaged, or the browser has given it up. */
const PATIENCE_MS = 60_000;
/** Several blocks and the rest of one. */
const TRIAL = new Blob(['Theatrum'.repeat(25)]);

interface Waiting {
  resolve(answer: Answer): void;
  reject(failure: Error): void;
}

interface Answer {
  id: number;
  /** Absent when the bytes could not be read. */
  sha256?: string;
}

/** The file's bytes could not be read: moved, changed or on a disk that is gone. */
export class UnreadableFile extends Error {
  constructor() {
    super('This file can no longer be read. It may have been moved or changed; choose it again to go on.');
    this.name = 'UnreadableFile';
  }
}

let worker: Promise<Hasher> | undefined;

/** Lower-case hex SHA-256 of the blob. Without a worker the page does it, if less smoothly; the next blob tries one again. */
export async function hashBlob(blob: Blob, patienceMs = PATIENCE_MS): Promise<string> {
  const current = (worker ??= Hasher.start(patienceMs));
  let sha256;
  try {
    ({ sha256 } = await (await current).hash(blob, patienceMs));
  } catch {
    if (worker === current) worker = undefined;
    sha256 = await digest(blob).catch(() => undefined);
  }
  if (!sha256) throw new UnreadableFile();
  return sha256;
}

class Hasher {
  readonly #worker = new Worker(new URL('./hash.worker.ts', import.meta.url), { type: 'module', name: 'sha256' });
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 0;
  #failure: Error | undefined;

  /** Rejects when the script did not come, came damaged, or does not hash. */
  static async start(patienceMs: number): Promise<Hasher> {
    const hasher = new Hasher();
    const { sha256 } = await hasher.hash(TRIAL, patienceMs);
    if (sha256 !== (await digest(TRIAL))) throw hasher.#fail();
    return hasher;
  }

  private constructor() {
    this.#worker.onmessage = ({ data }: MessageEvent<Answer>) => {
      this.#waiting.get(data.id)?.resolve(data);
      this.#waiting.delete(data.id);
    };
    this.#worker.onerror = () => void this.#fail();
  }

  /** Rejects when no answer comes. */
  hash(blob: Blob, patienceMs: number): Promise<Answer> {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = this.#nextId++;
    const answer = new Promise<Answer>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, blob });
    });
    const watchdog = setTimeout(() => this.#fail(), patienceMs);
    return answer.finally(() => clearTimeout(watchdog));
  }

  #fail(): Error {
    const failure = (this.#failure ??= new Error('the hashing worker does not answer'));
    this.#worker.terminate();
    for (const { reject } of this.#waiting.values()) reject(failure);
    this.#waiting.clear();
    return failure;
  }
}
