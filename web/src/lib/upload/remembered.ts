// Which upload a file belongs to, kept across reloads, so that choosing the same file again sends only what is missing.
import { forget, keep, recall } from '../memory';

const PREFIX = 'theatrum.upload.';

export interface FileName {
  name: string;
  size: number;
  lastModified: number;
}

/** Name, size and time tell files apart well enough; parts already there are checked by their hash besides. */
export function uploadKey(subject: string, file: FileName): string {
  return `${PREFIX}${JSON.stringify([subject, file.name, file.size, file.lastModified])}`;
}

export function rememberedUpload(subject: string, file: FileName): string | undefined {
  return recall<{ upload: string }>(uploadKey(subject, file))?.upload;
}

export function rememberUpload(subject: string, file: FileName, upload: string): void {
  keep(uploadKey(subject, file), { upload });
}

export function forgetUpload(subject: string, file: FileName): void {
  forget(uploadKey(subject, file));
}
