// The browser test: a real Chromium does what people do with the page. Prints "N passed, N failed".
//
// THEATRUM_URL    where the server is            THEATRUM_TOKEN  an administrator's access token
// THEATRUM_SAMPLE a video to upload              SCREENSHOTS     folder for the pictures
// FRAME_PORT      a free port: http://localhost:FRAME_PORT may embed videos (without one that part is left out)
// PATIENCE_MS     how long processing may take (default 180000)   CHROMIUM  its path (default /usr/bin/chromium)
import { accessKeys } from './inbox.mjs';
import { launch, part, tally } from './harness.mjs';
import { signingIn } from './signin.mjs';
import { uploading, uploadsSurvive } from './uploading.mjs';
import { collections } from './collections.mjs';
import { editing, reading } from './reference.mjs';
import { watching, sessionEnds } from './watching.mjs';
import { byKeyboard } from './keyboard.mjs';
import { replacing } from './replacing.mjs';
import { embedding } from './embedding.mjs';

const browser = await launch();
try {
  await part('signing in', () => signingIn(browser));
  await part('the reference', () => reading(browser));
  const found = {};
  await part('uploading', async () => Object.assign(found, await uploading(browser)));
  await part('access keys', () => accessKeys(browser));
  await part('uploads survive', () => uploadsSurvive(browser));
  if (found.video) {
    await part('watching', () => watching(browser, found.video));
    await part('collections', () => collections(browser, found.video));
    await part('editing', () => editing(browser, found.video));
    await part('the session ends', () => sessionEnds(browser, found.video));
    await part('by keyboard alone', () => byKeyboard(browser, found.video));
    await part('replacing and trimming', () => replacing(browser, found.video));
    await part('embedding', () => embedding(browser, found.video));
  }
} finally {
  await browser.close();
}
console.log(`\n${tally.passed} passed, ${tally.failed} failed`);
process.exit(tally.failed === 0 ? 0 : 1);
