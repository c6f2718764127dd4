// The page's side of the hashing worker: one worker for all uploads, started when first needed.

interface Waiting {
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
    waiting.set(id, { resolve, reject });
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
    for (const task of waiting.values()) task.reject(new Error('The part of this page that checks files could not start. Reload the page.'));
    waiting.clear();
    worker = undefined;
  };
  return started;
}
