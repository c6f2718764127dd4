// Why the server opens no playback session, for whoever wants to watch: what happened, and what to do next. Pure.
import { ApiError } from '../api';

export function refusalWords(failure: unknown): string {
  if (!(failure instanceof ApiError)) return 'This video cannot be played. Reload the page.';
  switch (failure.code) {
    // Tokens are a matter of frames on other sites: on Theatrum's own page whoever is signed out is asked to sign in.
    case 'token-expired':
      return 'The link by which you watch here has expired. Reload the page to get a new one.';
    case 'token-missing':
    case 'token-malformed':
    case 'token-signature':
    case 'token-other-video':
      return 'The link by which you watch here does not open this video. Reload the page; if that does not help, tell whoever runs this site.';
    case 'not-found':
      return 'This video is not there any more, or not open to you. Ask its owner.';
    case 'not-allowed':
      return 'You may not watch this video, or not any more. Ask its owner or an administrator.';
    default:
      return failure.message;
  }
}
