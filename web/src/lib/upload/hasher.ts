// The page's side of the hashing worker: one worker for all uploads, started when first needed.
import { digest } from './sha256';

interface Waiting {
  blob: Blob;
  resolve(sha256: string): void;
  reject(failure: Error): void;
}

/** The file's bytes could not be read: moved, changed or on a disk that is gone. */
export class UnreadableFile extends Error {
  constructor() {
    super('This file can no longer be read. It may have been moved or changed; choose it again to go on.');
    this.name = 'UnreadableFile';
  }
}

let worker: Worker | undefined;
let nextId = 0;
const waiting = new Map<number, Waiting>();

/** Lower-case hex SHA-256 of the blob. */
export function hashBlob(blob: Blob): Promise<string> {
  worker ??= start();
  const id = nextId++;
  return new Promise((resolve, reject) => {
    waiting.set(id, { blob, resolve, reject });
    worker?.postMessage({ id, blob });
  });
}

function start(): Worker {
  const started = new Worker(new URL('./hash.worker.ts', import.meta.url), { type: 'module', name: 'sha256' });
  started.onmessage = ({ data }: MessageEvent<{ id: number; sha256?: string }>) => {
    const task = waiting.get(data.id);
    waiting.delete(data.id);
    if (data.sha256) task?.resolve(data.sha256);
    else task?.reject(new UnreadableFile());
  };
  started.onerror = () => {
    // Its script did not come, or came damaged. The page can do it too, if less smoothly; the next part tries a worker again.
    for (const { blob, resolve, reject } of waiting.values()) digest(blob).then(resolve, () => reject(new UnreadableFile()));
    waiting.clear();
    worker = undefined;
  };
  return started;
}
