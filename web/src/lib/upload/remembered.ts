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

/** With a collection, only an upload that was begun for it: one cannot be sent elsewhere on its way. */
export function rememberedUpload(subject: string, file: FileName, collection?: string): string | undefined {
  const kept = recall<{ upload: string; collection?: string }>(uploadKey(subject, file));
  return collection === undefined || collection === kept?.collection ? kept?.upload : undefined;
}

export function rememberUpload(subject: string, file: FileName, upload: string, collection?: string): void {
  keep(uploadKey(subject, file), { upload, collection });
}

export function forgetUpload(subject: string, file: FileName): void {
  forget(uploadKey(subject, file));
}
