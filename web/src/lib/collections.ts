// Names of collections in addresses; pure.

/** The library's path, of one collection or all. */
export function libraryPath(collection: string | null): string {
  // A slash may stand in a query as it is.
  return collection ? `/?collection=${encodeURIComponent(collection).replaceAll('%2F', '/')}` : '/';
}

/** The collection that a query names, or null. */
export function collectionOf(search: string): string | null {
  return tidied(new URLSearchParams(search).get('collection') ?? '') || null;
}

/** A name as the server writes it: without blanks around its pieces. Whether it is one, the server says. */
export function tidied(name: string): string {
  return name.split('/').map((piece) => piece.trim()).join('/');
}
