// The worker that hashes parts, so that the page stays responsive whatever the file's size.
import { digest } from './sha256';

interface Task {
  id: number;
  blob: Blob;
}

self.onmessage = async ({ data: { id, blob } }: MessageEvent<Task>) => {
  try {
    self.postMessage({ id, sha256: await digest(blob) });
  } catch (failure) {
    self.postMessage({ id, error: failure instanceof Error ? failure.name : 'Error' });
  }
};
